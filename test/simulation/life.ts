import { HostError } from '@fieldwhisper/host'
import type { World } from './world.js'

/** One life of a process: its timers die with it, and what it still does reaches nobody. */
export class Life {
  readonly world: World
  #alive = true

  constructor(world: World) {
    this.world = world
  }

  get alive(): boolean {
    return this.#alive
  }

  end(): void {
    this.#alive = false
  }

  /** A start that the disk refuses ends the process; its supervisor tries again. */
  begin(start: () => Promise<void>, end: () => void): void {
    start().catch((error: unknown) => {
      if (!(error instanceof HostError)) return this.world.note(error)
      this.world.log(`did not start: ${error.code}`)
      end()
    })
  }

  after(delayMs: number, task: () => void): () => void {
    return this.world.after(delayMs, () => {
      if (this.#alive) task()
    })
  }

  every(intervalMs: number, task: () => void): () => void {
    return this.#every(() => intervalMs, task)
  }

  /** The same for what only looks whether there is something to do. */
  poll(intervalMs: number, task: () => void): () => void {
    return this.#every(() => intervalMs * this.world.pace, task)
  }

  #every(intervalMs: () => number, task: () => void): () => void {
    let cancelled = false
    const again = (): void => {
      if (cancelled) return
      task()
      this.after(intervalMs(), again)
    }
    this.after(intervalMs(), again)
    return () => void (cancelled = true)
  }
}
