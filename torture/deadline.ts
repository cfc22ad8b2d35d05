/** What a promise says, or a rejection where it says nothing for so long. */
export async function within<T>(milliseconds: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${milliseconds} ms`)), milliseconds)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Whether a promise came to an end within the time. */
export async function endsWithin(milliseconds: number, promise: Promise<unknown>): Promise<boolean> {
  return within(milliseconds, 'it', promise).then(
    () => true,
    () => false,
  )
}
