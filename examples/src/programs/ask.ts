import { askControl } from '@fieldwhisper/host'
import { ASK_MS } from './constants.js'

/** What the program that runs on a state folder says of itself; undefined while there is none, or none that answers. */
export async function askStatus<T>(stateDir: string): Promise<T | undefined> {
  try {
    const reply = await askControl(stateDir, 'status', {}, { timeoutMs: ASK_MS })
    return reply && 'ok' in reply && reply.ok !== null ? (reply.ok as T) : undefined
  } catch {
    return undefined
  }
}

/** Does a program run on this state folder, whether it answers or not? */
export async function isRunning(stateDir: string): Promise<boolean> {
  try {
    return (await askControl(stateDir, 'status', {}, { timeoutMs: ASK_MS })) !== undefined
  } catch {
    return true
  }
}

/** Asks `check` until it answers, the time is over or `signal` is aborted; then undefined. */
export async function eventually<T>(
  check: () => Promise<T | undefined>,
  options: { readonly withinMs: number; readonly everyMs?: number; readonly signal?: AbortSignal },
): Promise<T | undefined> {
  const deadline = performance.now() + options.withinMs
  for (;;) {
    const answer = await check()
    if (answer !== undefined) return answer
    if (performance.now() >= deadline || options.signal?.aborted) return undefined
    await pause(options.everyMs ?? 100, options.signal)
  }
}

/** Resolves after `ms`, or at once when `signal` is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done, { once: true })
    if (signal?.aborted) done()
  })
}
