import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type IncomingHttpHeaders, request as forward } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Express } from 'express'
import { serve } from './http'

export interface Asked {
  method: string
  path: string
  /** Of the query string and the form, decoded, in the order of their names. */
  params: Record<string, string>
  query: string
  body: string
  headers: IncomingHttpHeaders
}

export interface Scripted {
  status?: number
  headers?: Record<string, string>
  /** Sent as JSON, or as it is where it is text. */
  body: unknown
}

/**
 * Stands in the place of Stripe: writes down what it is asked and answers as it is told, by path, or as another server
 * does.
 */
export class Recorder {
  readonly asked: Asked[] = []
  readonly #answers: Record<string, Scripted | Scripted[]>
  port = 0

  private constructor(answers: Record<string, Scripted | Scripted[]>) {
    this.#answers = answers
  }

  /** The answers to each path; of a list, one after another. Whatever has none is passed on to `port`. */
  static async start(answers: Record<string, Scripted | Scripted[]>, port?: number): Promise<Recorder> {
    const recorder = new Recorder(answers)
    recorder.port = await serve(async (request, response) => {
      request.setEncoding('utf8')
      let body = ''
      for await (const chunk of request) body += chunk
      const url = new URL(request.url ?? '/', 'http://localhost')
      const query = url.search.slice(1)
      const isForm = request.headers['content-type'] === 'application/x-www-form-urlencoded'
      const params = new URLSearchParams(isForm ? `${query}&${body}` : query)
      params.sort()
      recorder.asked.push({
        method: request.method ?? '',
        path: url.pathname,
        params: Object.fromEntries(params),
        query,
        body,
        headers: request.headers,
      })
      const scripted = recorder.#answer(url.pathname)
      if (port !== undefined && recorder.#answers[url.pathname] === undefined) {
        const { method, headers } = request
        const onward = forward({ host: '127.0.0.1', port, method, path: request.url, headers }, (answer) => {
          response.writeHead(answer.statusCode ?? 500, answer.headers)
          answer.pipe(response)
        })
        return void onward.end(body)
      }
      const { status = 200, headers = {}, body: answer } = scripted
      response.writeHead(status, { 'content-type': 'application/json', 'request-id': 'req_1', ...headers })
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer))
    })
    return recorder
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.port}`
  }

  #answer(path: string): Scripted {
    const scripted = this.#answers[path]
    if (scripted === undefined) return { status: 404, body: { error: { message: `nothing is scripted for ${path}` } } }
    if (!Array.isArray(scripted)) return scripted
    return (scripted.length > 1 ? scripted.shift() : scripted[0]) ?? { status: 500, body: {} }
  }
}

/** `stripe-stateful-mock`, which remembers what it was asked, idempotency keys too. It comes without types. */
export async function startStatefulMock(): Promise<number> {
  const { createExpressApp } = require('stripe-stateful-mock') as { createExpressApp(): Express }
  return serve(createExpressApp())
}

/** Passes everything on to another port, and lets the first answer get lost. */
export async function loseFirstAnswer(port: number): Promise<{ port: number; keys: (string | undefined)[] }> {
  const keys: (string | undefined)[] = []
  const proxy = await serve((incoming, outgoing) => {
    keys.push(incoming.headers['idempotency-key'] as string | undefined)
    const { method, url, headers } = incoming
    const onward = forward({ host: '127.0.0.1', port, method, path: url, headers }, (answer) => {
      if (keys.length === 1) {
        answer.resume().on('end', () => incoming.socket.destroy())
      } else {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(outgoing)
      }
    })
    incoming.pipe(onward)
  })
  return { port: proxy, keys }
}

const LOCALSTRIPE = 'localstripe==1.15.10'
const SERVE_LOCALSTRIPE = `
import socket
from aiohttp import web
import localstripe.server
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
web.run_app(localstripe.server.app, sock=listener, print=None)
`

/** Installs localstripe, a stateful Stripe of another author, into the directory and starts it. */
export async function startLocalstripe(directory: string): Promise<{ port: number; process: ChildProcess }> {
  execFileSync('python3', ['-m', 'venv', directory])
  const python = join(directory, 'bin', 'python')
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', LOCALSTRIPE]
  execFileSync(python, install, { stdio: ['ignore', 'ignore', 'inherit'] })
  const server = spawn(python, ['-c', SERVE_LOCALSTRIPE], {
    env: { ...process.env, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [line] = await once(createInterface({ input: server.stdout }), 'line')
  return { port: Number(line), process: server }
}
