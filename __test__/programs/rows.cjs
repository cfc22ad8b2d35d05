// Prints what a query finds in a store's database.
const { join } = require('node:path')
const { DatabaseSync } = require('@photostructure/sqlite')

const { dir, query } = JSON.parse(process.argv[2])
const database = new DatabaseSync(join(dir, 'weighbridge.db'), { readOnly: true, timeout: 30_000 })
process.stdout.write(`${JSON.stringify(database.prepare(query).all())}\n`)
