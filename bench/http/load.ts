import autocannon from 'autocannon'
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { threadTime } from '../machine.js'

export interface Server {
  process: ChildProcess
  port: number
  keys: string[]
}

export interface Sample {
  /** Requests a second that were answered 200. */
  rate: number
  /** The share of requests that were answered otherwise. */
  failed: number
  /** Of all of the server's threads, a request. */
  cpuMicroseconds: number
  p50: number
  p99: number
}

/** @param directory where several processes of a variant meet, if they do */
export function startServer(variant: string, postgres: string, directory = ''): Promise<Server> {
  const child = fork(join(import.meta.dirname, 'server.ts'), [variant, postgres, directory], {
    execArgv: ['--import', 'tsx'],
  })
  return new Promise((resolve, reject) => {
    child.once('message', ({ port, keys }: { port: number; keys: string[] }) => resolve({ process: child, port, keys }))
    child.once('exit', (code) => reject(new Error(`"${variant}" exited with ${code} before it listened`)))
  })
}

export function stopServer({ process: child }: Server): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.disconnect()
  })
}

export async function load(
  { process: server, port, keys }: Server,
  connections: number,
  seconds: number,
): Promise<Sample> {
  const requests = keys.map((key) => ({ headers: { authorization: `Bearer ${key}` } }))
  const url = `http://127.0.0.1:${port}/api/execute`
  const before = threadTime(server.pid)
  const result = await autocannon({ url, method: 'POST', connections, duration: seconds, requests })
  const { non2xx, errors, latency } = result
  const passed = result['2xx']
  const answered = passed + non2xx
  return {
    rate: passed / result.duration,
    failed: (non2xx + errors) / (answered + errors),
    cpuMicroseconds: (threadTime(server.pid) - before) / 1_000 / answered,
    p50: latency.p50,
    p99: latency.p99,
  }
}
