import type { EventFields, Level, Reporter } from '@fieldwhisper/host'

/** Different troubles remembered at one time; more of them means that the texts vary, and then all is forgotten. */
const MAX_TROUBLES = 100

/**
 * A reporter that tells the same trouble (code and text) once in `intervalMs` and then how often it was kept back, so that
 * a broker that is down all night does not fill the disk with its log.
 */
export function limitedReporter(reporter: Reporter, intervalMs: number, monoMs: () => number): Reporter {
  const troubles = new Map<string, { at: number; held: number }>()
  return {
    event(level: Level, code: string, message: string, fields?: EventFields): void {
      const key = `${code} ${message}`
      const now = monoMs()
      const trouble = troubles.get(key)
      if (trouble && now - trouble.at < intervalMs) {
        trouble.held += 1
        return
      }
      if (troubles.size >= MAX_TROUBLES) troubles.clear()
      troubles.set(key, { at: now, held: 0 })
      const held = trouble?.held ?? 0
      reporter.event(level, code, message, held > 0 ? { ...fields, repeated: held } : fields)
    },
  }
}
