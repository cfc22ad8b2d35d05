import { readdirSync, readFileSync } from 'node:fs'
import type { Client } from 'pg'

/** A PostgreSQL database, and a connection to ask it about itself. */
export interface Database {
  url: string
  client: Client
}

/** What the server has done so far. */
export interface Work {
  /** Seconds of processor time of all its processes; NaN where the system does not tell. */
  seconds: number
  /** Transactions that were committed. */
  commits: number
}

const TICKS_A_SECOND = 100

export async function workOf({ client }: Database): Promise<Work> {
  const { rows } = await client.query<{ pid: number; commits: string }>(
    `SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid,
            (SELECT sum(xact_commit) FROM pg_stat_database) AS commits`,
  )
  const [row] = rows
  return { seconds: row === undefined ? NaN : processorTime(row.pid), commits: Number(row?.commits) }
}

/** Of a process, its children, and those that have ended. */
function processorTime(parent: number): number {
  try {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    const ticks = pids.map((pid) => {
      const fields = statusOf(pid)
      // See proc(5): the parent's pid is the 4th field; user, system, and those of ended children the 14th to 17th.
      const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15).map(Number)
      if (Number(pid) === parent) return user + system + endedUser + endedSystem
      return Number(fields[1]) === parent ? user + system : 0
    })
    return ticks.reduce((sum, time) => sum + time, 0) / TICKS_A_SECOND
  } catch {
    return NaN
  }
}

/** The fields after the name, which may hold anything. */
function statusOf(pid: string): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    // It has just ended.
    return []
  }
}
