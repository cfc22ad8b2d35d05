import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { temporaryDirectory } from '../directories.js'
import { median } from '../statistics.js'
import type { Goal, Row, Table } from '../table.js'
import { byEndpoint } from './catalogs.js'
import { GOAL } from './simulate.js'
import { writeAccessLog } from './usage.js'

const PROGRAM = join(import.meta.dirname, '..', '..', 'dist', 'cli.js')
const COMBINED = /^(\S+) \S+ (\S+) \[([^\]]+)\] "(\S+) (\S+) [^"]*" (\d+) \S+ "[^"]*" "[^"]*"/

export async function accessLog(count: number, rounds: number): Promise<Table> {
  const directory = temporaryDirectory()
  const [file, catalog] = [join(directory, 'access.log'), join(directory, 'catalog.json')]
  await writeAccessLog(file, count)
  writeFileSync(catalog, JSON.stringify(byEndpoint))
  const own: number[] = []
  const peer: number[] = []
  let most = 0
  for (let round = 0; round < rounds; round += 1) {
    const { seconds, mebibytes } = await command(file, catalog, count)
    own.push(count / seconds)
    most = Math.max(most, mebibytes)
    peer.push(count / (await inJavaScript(file, count)))
  }
  const rate = median(own)
  const ratio = median(own.map((rate, round) => rate / (peer[round] ?? NaN)))
  const rows: Row[] = [
    { variant: 'weighbridge simulate', 'lines/s': Math.round(rate), 'of JavaScript': ratio, 'resident MiB': most },
    { variant: 'readline, a regular expression, sums', 'lines/s': Math.round(median(peer)), 'of JavaScript': 1 },
  ]
  const goal: Goal = {
    what: 'lines of an access log a second',
    goal: `at least ${GOAL.toLocaleString('en')}`,
    measured: Math.round(rate).toLocaleString('en'),
    met: rate >= GOAL,
  }
  const notes = [
    `${rounds} rounds over ${count.toLocaleString('en')} lines in the Combined Log Format; the command from its start to its end, Node's own start included. JavaScript adds up and prices nothing.`,
  ]
  return { title: 'simulate: an access log', notes, rows, goals: [goal] }
}

async function command(file: string, catalog: string, count: number): Promise<{ seconds: number; mebibytes: number }> {
  const began = performance.now()
  const args = [PROGRAM, 'simulate', file, '--catalog', catalog, '--tier', 'pro', '--json']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let [output, most] = ['', NaN]
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const timer = setInterval(() => (most = peakMebibytes(child.pid) ?? most), 10)
  await once(child, 'close')
  clearInterval(timer)
  const seconds = (performance.now() - began) / 1_000
  const { events } = JSON.parse(output) as { events: number }
  if (events !== count) throw new Error(`the command has seen ${events} of ${count} requests`)
  return { seconds, mebibytes: most }
}

/** The most that was ever resident; undefined where the system does not tell, or the process has ended. */
function peakMebibytes(pid: number | undefined): number | undefined {
  try {
    const [, kibibytes] = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return kibibytes === undefined ? undefined : Number(kibibytes) / 1_024
  } catch {
    return undefined
  }
}

async function inJavaScript(file: string, count: number): Promise<number> {
  const began = performance.now()
  const sums = new Map<string, number>()
  let events = 0
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [, address, user, date = '', method, target = '', status] = COMBINED.exec(line) ?? []
    if (status === '429') continue
    const key = `${user === '-' ? address : user} ${date.slice(3, 11)} ${method} ${target.split('?')[0]}`
    sums.set(key, (sums.get(key) ?? 0) + 1)
    events += 1
  }
  if (events !== count) throw new Error(`JavaScript has seen ${events} of ${count} requests`)
  return (performance.now() - began) / 1_000
}
