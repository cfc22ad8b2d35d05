// Prints what importing the package did. The argument says how: by `require` or by `import`.
const { existsSync, readdirSync, readFileSync } = require('node:fs')

const read = []
process.env = new Proxy(process.env, {
  get(environment, name) {
    // Node's own loader asks for this one, whatever is loaded.
    if (name !== 'WATCH_REPORT_DEPENDENCIES') read.push(String(name))
    return environment[name]
  },
  ownKeys(environment) {
    read.push('all of it')
    return Reflect.ownKeys(environment)
  },
})
const { how } = JSON.parse(process.argv[2])
const threads = () => (existsSync('/proc/self/task') ? readdirSync('/proc/self/task').length : 0)
const maps = () => (existsSync('/proc/self/maps') ? readFileSync('/proc/self/maps', 'utf8') : '')

async function main() {
  // The first import of a file makes Node start threads of its own, to read it.
  await import('./empty.mjs')
  const before = threads()
  const weighbridge = how === 'require' ? require('weighbridge') : await import('weighbridge')
  const report = {
    exports: Object.keys(weighbridge)
      .filter((name) => !['default', 'module.exports', '__esModule'].includes(name))
      .sort(),
    environment: [...read],
    newThreads: threads() - before,
    addon: maps().includes('.node'),
    files: readdirSync('.'),
  }
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

void main()
