/** Waiting with a deadline: no test sleeps, every wait says what it waited for when it gives up. */

export interface Wait {
  /** Longest wait in milliseconds. */
  readonly withinMs: number
  /** What is waited for, to be read in "gave up after 5000 ms waiting for ...". */
  readonly what: string
  /** How often a condition without an event is looked at; 25 ms if absent. */
  readonly everyMs?: number
}

/**
 * Asks `check` until it answers something other than `undefined`, `null` or `false`, and returns that.
 * An error thrown by `check` ends the wait at once. For conditions that announce themselves, use `within` with a promise.
 */
export async function until<T>(
  check: () => T | Promise<T>,
  wait: Wait,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = performance.now() + wait.withinMs
  for (;;) {
    const answer = await check()
    if (answer !== undefined && answer !== null && answer !== false) {
      return answer as Exclude<T, undefined | null | false>
    }
    if (performance.now() >= deadline) throw gaveUp(wait)
    await new Promise((resolve) => setTimeout(resolve, wait.everyMs ?? 25))
  }
}

/** The promise, or an error that names what was waited for when it takes longer than allowed. */
export async function within<T>(promise: Promise<T>, wait: Omit<Wait, 'everyMs'>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(gaveUp(wait)), wait.withinMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Lets `ms` of real time pass because the time itself is what the test is about, e.g. a stream of readings under load. */
export function streamFor(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function gaveUp(wait: Omit<Wait, 'everyMs'>): Error {
  return new Error(`gave up after ${wait.withinMs} ms waiting for ${wait.what}`)
}
