import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { freshDirectory } from './directory'

const started: ChildProcess[] = []

/** Installs localstripe, a stateful Stripe written in Python, and starts it on a port of this machine. */
export async function startLocalstripe(): Promise<number> {
  const directory = freshDirectory()
  const python = join(directory, 'venv', 'bin', 'python')
  execFileSync('python3', ['-m', 'venv', join(directory, 'venv')], { stdio: 'pipe' })
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', 'localstripe==1.15.10'], { stdio: 'pipe' })
  const port = await freePort()
  const program =
    'import sys\nfrom aiohttp import web\nimport localstripe.server\n' +
    "web.run_app(localstripe.server.app, host='127.0.0.1', port=int(sys.argv[1]))"
  // It writes its state into the temporary directory.
  const environment = { ...process.env, TMPDIR: directory, PYTHONUNBUFFERED: '1' }
  const server = spawn(python, ['-c', program, String(port)], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
  started.push(server)
  await new Promise<void>((resolve, reject) => {
    let printed = ''
    const listen = (chunk: Buffer): void => {
      printed += chunk.toString()
      if (printed.includes('Running on')) resolve()
    }
    server.stdout.on('data', listen)
    server.stderr.on('data', listen)
    server.once('exit', () => reject(new Error(`localstripe ended: ${printed}`)))
  })
  return port
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

afterEach(async () => {
  for (const server of started.splice(0)) {
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGKILL')
    await ended
  }
})
