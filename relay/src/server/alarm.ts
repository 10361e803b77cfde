export interface Alarm {
  /** Asks for a call at or soon after that time; the earliest wish counts, later ones must be made again. */
  readonly set: (atMs: number) => void
  readonly stop: () => void
}

/** One timer for a core that has none of its own. */
export function alarmClock(nowMs: () => number, ring: (now: number) => void): Alarm {
  let timer: NodeJS.Timeout | undefined
  let dueMs = Infinity
  return {
    set(atMs) {
      if (atMs >= dueMs) return
      clearTimeout(timer)
      dueMs = atMs
      timer = setTimeout(
        () => {
          dueMs = Infinity
          ring(nowMs())
        },
        Math.max(1, Math.ceil(atMs - nowMs())),
      )
    },
    stop() {
      clearTimeout(timer)
      dueMs = -Infinity
    },
  }
}
