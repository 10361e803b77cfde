import type { Test } from 'tap'
import type { Seen } from './site.js'

/** Values by stream: a stream is one run of the agent, counted from 0. */
export function streams(seen: readonly Seen[]): Map<string, Set<number>> {
  const found = new Map<string, Set<number>>()
  for (const { id, value } of seen) {
    const stream = id.split('-')[0]!
    found.set(stream, (found.get(stream) ?? new Set()).add(value))
  }
  return found
}

/** Different ids: what was published, repeats left out. */
export function distinctIds(seen: readonly Seen[]): number {
  return new Set(seen.map(({ id }) => id)).size
}

/** No id with two values, and no stream with a hole. */
export function judge(t: Test, seen: readonly Seen[]): void {
  const values = new Map<string, number>()
  for (const { id, value } of seen) {
    if (values.has(id) && values.get(id) !== value) t.fail(`id ${id} came with two values`)
    values.set(id, value)
  }
  for (const [stream, found] of streams(seen))
    t.equal(found.size, Math.max(...found) + 1, `stream ${stream} without holes`)
}
