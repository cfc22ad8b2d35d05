// PostgreSQL servers for tests that stop them and start them again. A message names a server and calls one of its methods;
// it is answered with what that gives. They are removed when whoever started this is gone.
import { PostgresServer } from '../../scripts/postgres.mjs'

const servers = []

async function answer({ server, method, values }) {
  const result = method === 'make' ? await PostgresServer.make(...values) : await servers[server][method](...values)
  if (!(result instanceof PostgresServer)) return undefined
  const { url, port, data } = result
  return { server: servers.push(result) - 1, url, port, data }
}

process.on('message', async ({ number, ...call }) => {
  const reply = await answer(call).then(
    (value) => ({ number, value }),
    (error) => ({ number, error: String(error) }),
  )
  process.send?.(reply)
})

process.on('disconnect', async () => {
  await Promise.all(servers.map((server) => server.remove()))
  process.exit()
})
