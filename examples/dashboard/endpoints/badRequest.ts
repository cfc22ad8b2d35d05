/** What the caller sent cannot be worked on: answered 400, in his words. */
export class BadRequest extends Error {
  readonly status = 400
}
