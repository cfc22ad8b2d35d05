export default function tearDown() {
  return globalThis.stopPostgres()
}
