import express5 from 'express'

/** Express 4 comes without types of its own; what the tests use of it is the same in 5. */
export const express4 = require('express4') as typeof express5

/** For `describe.each`. */
export const frameworks: [name: string, express: typeof express5][] = [
  ['Express 4', express4],
  ['Express 5', express5],
]
