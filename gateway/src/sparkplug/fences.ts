import { MAX_UNCONFIRMED, WINDOW_MESSAGES } from './constants.js'

/** A fence that was sent, and what stands before it. */
interface Fence {
  readonly number: number
  readonly position: number
  readonly messages: number
}

/**
 * Data has QoS 0, so nobody says that it arrived. After each window a message of QoS 1 goes out on the same connection, and
 * its acknowledgement shows that the broker has everything before it. Numbers are not used twice, so an acknowledgement of a
 * connection that is gone means nothing.
 */
export class Fences {
  #sent: Fence[] = []
  #nextNumber = 1
  /** Handed over since the last fence: messages, and the position of the last batch. */
  #messages = 0
  #position: number | undefined
  /** Messages behind fences that were not acknowledged. */
  #waiting = 0

  /** A batch was handed over, which made so many messages. */
  count(position: number, messages: number): void {
    this.#position = position
    this.#messages += messages
  }

  /** As much is under way as may be. */
  get full(): boolean {
    return this.#waiting + this.#messages >= MAX_UNCONFIRMED
  }

  get windowFull(): boolean {
    return this.#messages >= WINDOW_MESSAGES
  }

  /** The number of the next fence; undefined if there is nothing to prove. */
  next(): number | undefined {
    if (this.#position === undefined) return undefined
    const number = this.#nextNumber
    this.#nextNumber += 1
    this.#sent.push({ number, position: this.#position, messages: this.#messages })
    this.#waiting += this.#messages
    this.#messages = 0
    this.#position = undefined
    return number
  }

  /** The position up to which the broker has everything; undefined for a fence that is not waited for. */
  acknowledged(number: number): number | undefined {
    const index = this.#sent.findIndex((fence) => fence.number === number)
    if (index < 0) return undefined
    const done = this.#sent.splice(0, index + 1)
    for (const { messages } of done) this.#waiting -= messages
    return done.at(-1)!.position
  }

  /** The connection is gone: what was not proven is read again. */
  clear(): void {
    this.#sent = []
    this.#messages = 0
    this.#waiting = 0
    this.#position = undefined
  }
}
