/** A terminal and npm both pass on the one Ctrl-C; later than this it is a second one. */
const SAME_KEY_MS = 1_000
const PARENT_CHECK_MS = 1_000

/**
 * Aborted by the first Ctrl-C, SIGTERM or hang-up; a second one ends this process at once, after `hurry`. Under `npm start`
 * also when npm's shell is gone: npm hands a SIGTERM to that shell only.
 */
export function endingSignal(hurry: () => Promise<unknown>): AbortController {
  const ending = new AbortController()
  let firstMs = 0
  const end = (): void => {
    if (!ending.signal.aborted) {
      firstMs = performance.now()
      ending.abort()
    } else if (performance.now() - firstMs >= SAME_KEY_MS) {
      void hurry().finally(() => process.exit(1))
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)
  if (process.env['npm_lifecycle_event'] !== undefined) {
    const parent = process.ppid
    setInterval(() => {
      if (process.ppid !== parent && !ending.signal.aborted) end()
    }, PARENT_CHECK_MS).unref()
  }
  return ending
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
