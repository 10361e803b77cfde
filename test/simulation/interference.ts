import type { Dice } from './dice.js'
import type { Tally } from './tally.js'
import type { World } from './world.js'

/** How likely each packet on its way is meddled with, by whoever is in between. */
export interface Meddling {
  /** A copy with one bit turned comes first. */
  corruptFirst: number
  duplicate: number
  /** Something from long ago comes along. */
  replay: number
  /** A relay says "stored" and forgets it. */
  lie: number
}

export const NO_MEDDLING: Meddling = { corruptFirst: 0, duplicate: 0, replay: 0, lie: 0 }

const ARCHIVED = 400
/** A copy comes up to so much later. */
const LATE_MS = 20_000

/** Whoever sits on a path: keeps packets and gives them again, changed or not. */
export class Interference {
  meddling = NO_MEDDLING
  readonly #world: World
  readonly #dice: Dice
  readonly #tally: Tally
  readonly #archive: Uint8Array[] = []
  readonly #corruptions = new Set<string>()

  constructor(world: World, dice: Dice, tally: Tally) {
    this.#world = world
    this.#dice = dice
    this.#tally = tally
  }

  /** Passes a packet on with what comes with it. `give` must not mind when the end is gone. */
  pass(packet: Uint8Array, give: (packet: Uint8Array) => void): void {
    const { corruptFirst, duplicate, replay } = this.meddling
    if (this.#draws('corrupted copy first', corruptFirst)) give(this.#corrupted(packet))
    give(packet)
    if (this.#draws('duplicate', duplicate)) this.#later(packet, give)
    const old = this.#dice.pick(this.#archive)
    if (old && this.#draws('replay', replay)) this.#later(old, give)
    if (this.#archive.length < ARCHIVED) this.#archive.push(packet)
    else this.#archive[this.#dice.int(0, ARCHIVED - 1)] = packet
  }

  /** Whether it was made here out of another one. */
  isCorrupted(packet: Uint8Array): boolean {
    return this.#corruptions.size > 0 && this.#corruptions.has(Buffer.from(packet).toString('latin1'))
  }

  /** Something that went by. */
  sample(): Uint8Array | undefined {
    return this.#dice.pick(this.#archive)
  }

  lies(): boolean {
    return this.#draws('relay lies', this.meddling.lie)
  }

  #draws(kind: string, probability: number): boolean {
    if (probability === 0 || !this.#dice.chance(probability)) return false
    this.#tally.add(kind)
    return true
  }

  #later(packet: Uint8Array, give: (packet: Uint8Array) => void): void {
    this.#world.after(this.#dice.between(0, LATE_MS), () => give(packet))
  }

  #corrupted(packet: Uint8Array): Uint8Array {
    const copy = Uint8Array.from(packet)
    // Address and counter stay: it is the place of the true one that is aimed at.
    const at = this.#dice.int(22, copy.length - 1)
    copy[at] = copy[at]! ^ (1 << this.#dice.int(0, 7))
    this.#corruptions.add(Buffer.from(copy).toString('latin1'))
    return copy
  }
}
