import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const PAGE = 4_096

function fillerPath(dir: string): string {
  return join(dir, 'filler')
}

/** Leaves so many bytes free on the disk of a directory. */
export function fillDisk(dir: string, free: number): void {
  const file = openSync(fillerPath(dir), 'w')
  let size = 0
  try {
    for (;;) size += writeSync(file, Buffer.alloc(PAGE, 1))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    ftruncateSync(file, Math.max(0, size - free))
  } finally {
    closeSync(file)
  }
}

export function makeRoom(dir: string): void {
  rmSync(fillerPath(dir))
}
