// How fast recorded usage and access logs are priced anew, against reading the same in JavaScript or adding it up in SQL.
import type { PartOptions } from '../options.js'
import type { Table } from '../table.js'
import { accessLog } from './accessLog.js'
import { recorded } from './recorded.js'

export async function simulate({ quick }: PartOptions): Promise<Table[]> {
  const count = quick ? 200_000 : 2_000_000
  const rounds = quick ? 3 : 5
  return [await recorded(count, rounds), await accessLog(count, rounds)]
}

/** Of each second. */
export const GOAL = 1_000_000
