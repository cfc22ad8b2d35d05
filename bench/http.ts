// Requests per second through Express, 50 connections: each variant in a process of its own, the rounds interleaved and
// rotated, medians of the ratios to the bare server of the same round.
import autocannon from 'autocannon'
import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'

const VARIANTS = ['bare', 'bare again', 'weighbridge', 'express-rate-limit (memory)']
const CONNECTIONS = 50
const quick = process.argv.includes('--quick')
const [rounds, seconds] = quick ? [3, 2] : [9, 4]

interface Server {
  process: ChildProcess
  port: number
  keys: string[]
}

interface Sample {
  rate: number
  /** Of all of the server's threads, where the system tells. */
  cpuMicroseconds: number
  p50: number
  p99: number
}

async function main(): Promise<void> {
  const servers = new Map<string, Server>()
  for (const name of VARIANTS) servers.set(name, await start(name))
  pin(process.pid, 1)
  for (const server of servers.values()) pin(server.process.pid, 0)

  const samples = new Map<string, Sample[]>(VARIANTS.map((name) => [name, []]))
  for (const server of servers.values()) await load(server, 1)
  for (let round = 0; round < rounds; round += 1) {
    for (let place = 0; place < VARIANTS.length; place += 1) {
      const name = VARIANTS[(place + round) % VARIANTS.length] ?? ''
      const server = servers.get(name)
      if (server !== undefined) samples.get(name)?.push(await load(server, seconds))
    }
    process.stderr.write(`round ${round + 1} of ${rounds}\n`)
  }
  for (const server of servers.values()) server.process.disconnect()
  print(samples)
}

function start(name: string): Promise<Server> {
  const child = fork(join(__dirname, 'servers.ts'), [name], { execArgv: ['--import', 'tsx'] })
  return new Promise((resolve, reject) => {
    child.once('message', ({ port, keys }: { port: number; keys: string[] }) => resolve({ process: child, port, keys }))
    child.once('exit', (code) => reject(new Error(`${name} exited with ${code} before it listened`)))
  })
}

/** The server on one core, the load on another, where the machine allows it. */
function pin(pid: number | undefined, core: number): void {
  if (cpus().length > 1) spawnSync('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' })
}

async function load({ process: server, port, keys }: Server, duration: number): Promise<Sample> {
  const requests = keys.map((key) => ({ headers: { authorization: `Bearer ${key}` } }))
  const url = `http://127.0.0.1:${port}/api/execute`
  const before = cpuTime(server.pid)
  const result = await autocannon({ url, method: 'POST', connections: CONNECTIONS, duration, requests })
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} refused, ${result.errors} failed`)
  return {
    rate: result['2xx'] / result.duration,
    cpuMicroseconds: (cpuTime(server.pid) - before) / 1_000 / result['2xx'],
    p50: result.latency.p50,
    p99: result.latency.p99,
  }
}

/** Nanoseconds that a process's threads have run. */
function cpuTime(pid: number | undefined): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    const times = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
    return times.reduce((sum, time) => sum + Number(time), 0)
  } catch {
    return NaN
  }
}

function print(samples: Map<string, Sample[]>): void {
  const bare = samples.get('bare') ?? []
  console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}, ${rounds} rounds of ${seconds} s`)
  console.table(
    VARIANTS.map((variant) => {
      const own = samples.get(variant) ?? []
      const ratios = own.map(({ rate }, round) => rate / (bare[round]?.rate ?? NaN))
      return {
        variant,
        'requests/s': Math.round(median(own.map(({ rate }) => rate))),
        'of bare': Number(median(ratios).toFixed(3)),
        'CPU µs/request': Math.round(median(own.map(({ cpuMicroseconds }) => cpuMicroseconds))),
        'p50 ms': median(own.map(({ p50 }) => p50)),
        'p99 ms': median(own.map(({ p99 }) => p99)),
      }
    }),
  )
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}

void main()
