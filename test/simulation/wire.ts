import type { Dice } from './dice.js'
import type { World } from './world.js'

export type Side = 0 | 1

/** What one end of a wire hears. */
export interface End<M> {
  receive(message: M): void
  closed(): void
}

/** 8 Mbit/s. */
export const FAST_BYTES_PER_MS = 1_000

export interface Line {
  readonly latencyMs: number
  readonly jitterMs: number
  /** As it is at the moment. */
  readonly bytesPerMs: () => number
}

interface Way {
  /** Everything given before arrives before. */
  freeAt: number
  arrivesAt: number
  buffered: number
  /** What is given from now on never arrives. */
  stalled: boolean
}

/** A stream connection like TCP: ordered, delayed, and at its end one side may hear of that long after the other. */
export class Wire<M> {
  readonly #world: World
  readonly #dice: Dice
  readonly #line: Line
  readonly #ends: readonly [End<M>, End<M>]
  readonly #ways: readonly [Way, Way]
  readonly #open: [boolean, boolean] = [true, true]

  constructor(world: World, dice: Dice, line: Line, ends: readonly [End<M>, End<M>]) {
    this.#world = world
    this.#dice = dice
    this.#line = line
    this.#ends = ends
    const way = (): Way => ({ freeAt: 0, arrivesAt: 0, buffered: 0, stalled: false })
    this.#ways = [way(), way()]
  }

  isOpen(side: Side): boolean {
    return this.#open[side]
  }

  /** Bytes that this side gave and that did not leave yet. */
  buffered(side: Side): number {
    return this.#ways[side].buffered
  }

  send(side: Side, message: M, bytes: number): void {
    if (!this.#open[side]) return
    const way = this.#ways[side]
    const { latencyMs, jitterMs, bytesPerMs } = this.#line
    const { now } = this.#world
    way.freeAt = Math.max(way.freeAt, now) + bytes / bytesPerMs()
    way.buffered += bytes
    way.arrivesAt = Math.max(way.arrivesAt, way.freeAt + latencyMs + this.#dice.between(0, jitterMs))
    const other = other_(side)
    this.#world.after(way.arrivesAt - now, () => {
      if (way.stalled) return
      way.buffered -= bytes
      if (this.#open[other]) this.#ends[other].receive(message)
    })
  }

  /** This side ends it; the other hears of it after what was sent before. */
  close(side: Side): void {
    if (!this.#open[side]) return
    this.#open[side] = false
    const way = this.#ways[side]
    const inMs = Math.max(way.arrivesAt - this.#world.now, 0) + this.#line.latencyMs
    if (!way.stalled) this.#world.after(inMs, () => this.#hear(other_(side)))
  }

  /** The process at this side is gone without a word: nothing more arrives there, its machine resets the other side. */
  kill(side: Side, heardInMs: number): void {
    this.#open[side] = false
    this.#world.after(heardInMs, () => this.#hear(other_(side)))
  }

  /** What `side` says is lost from now on; each end finds out by itself. */
  stall(side: Side, noticedInMs: readonly [number, number]): void {
    this.#ways[side].stalled = true
    for (const end of [0, 1] as const) this.#world.after(noticedInMs[end], () => this.#hear(end))
  }

  /** Hands a message to one end as if the other had sent it: whoever is in between can. */
  inject(to: Side, message: M): void {
    if (this.#open[to]) this.#ends[to].receive(message)
  }

  #hear(side: Side): void {
    if (!this.#open[side]) return
    this.#open[side] = false
    this.#ends[side].closed()
  }
}

function other_(side: Side): Side {
  return side === 0 ? 1 : 0
}
