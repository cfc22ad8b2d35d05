// Lets nobody commit to a store until it is killed. It prints a line when that has begun.
const { join } = require('node:path')
const { DatabaseSync } = require('@photostructure/sqlite')

const { dir } = JSON.parse(process.argv[2])
const database = new DatabaseSync(join(dir, 'weighbridge.db'), { timeout: 30_000 })
database.exec('BEGIN IMMEDIATE')
process.stdout.write('"locked"\n')
setInterval(() => {}, 2 ** 30)
