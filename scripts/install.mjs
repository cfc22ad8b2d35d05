// Runs when the package is installed. A packed package carries the addon of the platform on which it was packed; where
// that one does not load, this builds one from the sources beside it.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const loader = join(root, 'dist', 'binding.js')

// In the repository there is no loader before the first build, and `prepare` builds everything.
if (existsSync(loader) && !loads()) build()

function loads() {
  try {
    createRequire(import.meta.url)(loader)
    return true
  } catch {
    return false
  }
}

function build() {
  console.log('Weighbridge has no addon for this platform: building it. This takes some minutes.')
  const cargo = spawnSync('cargo', ['build', '--release', '--locked'], { cwd: root, stdio: 'inherit' })
  if (cargo.error)
    fail('`cargo` was not found. Install a Rust toolchain (https://rustup.rs), then run `npm rebuild weighbridge`.')
  if (cargo.status !== 0) fail('cargo could not build the addon: see above.')
  const library = { win32: 'weighbridge.dll', darwin: 'libweighbridge.dylib' }[process.platform] ?? 'libweighbridge.so'
  copyFileSync(join(root, 'target', 'release', library), join(root, 'dist', `weighbridge.${platform()}.node`))
  if (!loads()) fail('the addon was built but does not load.')
}

/** The platform's name as the loader spells it. */
function platform() {
  const { platform, arch } = process
  if (platform === 'darwin') return `darwin-${arch}`
  if (platform === 'win32') return `win32-${arch}-msvc`
  const glibc = process.report.getReport().header.glibcVersionRuntime
  return `${platform}-${arch}-${glibc === undefined ? 'musl' : 'gnu'}`
}

function fail(reason) {
  console.error(`Weighbridge could not be installed on ${process.platform} ${process.arch}: ${reason}`)
  process.exit(1)
}
