const PATIENCE = 30_000

/** Asks again until the answer is the expected one, which it is soon, and nobody says when. */
export async function until<T>(ask: () => T | Promise<T>, expected: unknown): Promise<void> {
  const deadline = Date.now() + PATIENCE
  for (;;) {
    const answer = await ask()
    try {
      return expect(answer).toEqual(expected)
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    // What is waited for may have to be heard of first.
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Something that happens once, and can be waited for before and after. */
export function happening<T = void>(): { happened: Promise<T>; happen: (value: T) => void } {
  let happen: (value: T) => void = () => {}
  const happened = new Promise<T>((resolve) => (happen = resolve))
  return { happened, happen }
}
