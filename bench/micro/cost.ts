// What a call of the middleware costs the event loop, beside what Express itself costs it for a path.
import type { Billing } from '../../index.mjs'
import type { Goal, Table } from '../table.js'
import { compare, type Comparison, type Effort, typical } from './comparison.js'
import { expressExchange, middlewareSubject, plainExchange } from './exchanges.js'
import { pathGetter } from './pathGetter.js'
import { CONCURRENCY } from './subject.js'

const PATH = '/api/execute'
const NO_OP = 'no-op'
const OWN = 'Weighbridge'
const OWN_EXPRESS = "Weighbridge, Express's own objects"
/** Nanoseconds over Express's `req.path`. */
const GOAL = 2_000

export async function cost(billing: Billing, keys: string[], effort: Effort): Promise<Table> {
  const middleware = billing.middleware()
  const plain = keys.map((key) => plainExchange(key, PATH))
  const express = keys.slice(0, CONCURRENCY).map((key) => expressExchange(key, PATH))
  const settle = (): Promise<void> => billing.flush()
  const comparison = await compare(
    [
      middlewareSubject(NO_OP, (_req, _res, next) => next(), plain),
      middlewareSubject(OWN, middleware, plain, settle),
      middlewareSubject(OWN_EXPRESS, middleware, express, settle),
    ],
    effort,
  )
  return costTable(comparison, await pathGetter(), effort)
}

function costTable(comparison: Comparison, getter: { first: number; again: number }, effort: Effort): Table {
  const base = typical(comparison, NO_OP, 'loop')
  const rows = comparison.names.map((name) => ({
    what: name,
    'event loop ns/call': Math.round(typical(comparison, name, 'loop')),
    'over the no-op': Math.round(typical(comparison, name, 'loop') - base),
    'wall ns/call': Math.round(typical(comparison, name, 'wall')),
  }))
  const own = typical(comparison, OWN, 'loop') - base
  const over = own - getter.first
  const goal: Goal = {
    what: "a call of the middleware, over Express's `req.path`",
    goal: `at most ${GOAL} ns`,
    measured: `${Math.round(over)} ns`,
    met: over <= GOAL,
  }
  const getters = [
    { what: 'Express `req.path`, new URL', 'event loop ns/call': Math.round(getter.first) },
    { what: 'Express `req.path`, same URL again', 'event loop ns/call': Math.round(getter.again) },
  ]
  const notes = [
    `${effort.rounds} rounds of ${effort.calls} calls, ${CONCURRENCY} under way at a time: the main thread's processor time ` +
      'from the first call to the last `next()`, acknowledgements included.',
  ]
  return { title: 'micro: a call of the middleware', notes, rows: [...rows, ...getters], goals: [goal] }
}
