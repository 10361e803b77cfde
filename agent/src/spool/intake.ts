import { readingBytes, type Reading } from '@fieldwhisper/protocol'
import { AgentError } from '../errors.js'
import { MAX_PENDING_READINGS, READINGS_A_TURN } from './constants.js'
import type { StreamRecord } from './records.js'

export interface Pending {
  readonly reading: Reading
  /** Monotonic milliseconds at which it was handed over. */
  readonly atMs: number
  /** Its batch is closed with it, and sealed before others. */
  readonly urgent: boolean
  readonly done: () => void
  readonly failed: (error: Error) => void
}

/** Readings that were handed over and are not on disk yet. */
export class Intake {
  /** Readings that were refused for want of room and are in no gap yet. */
  unsaid = 0
  /** Stream and end of the stream when refused readings were last given a number. */
  #saidAt = ''
  #pending: Pending[] = []

  get length(): number {
    return this.#pending.length
  }

  /** A whole turn's worth waits. */
  get isPressing(): boolean {
    return this.#pending.length >= READINGS_A_TURN
  }

  add(reading: Reading, atMs: number, urgent: boolean): Promise<void> {
    if (this.#pending.length >= MAX_PENDING_READINGS) {
      const text = `${MAX_PENDING_READINGS} readings wait for the disk already`
      return Promise.reject(new AgentError('FW_SPOOL_BUSY', text))
    }
    return new Promise((done, failed) => void this.#pending.push({ reading, atMs, urgent, done, failed }))
  }

  take(): Pending[] {
    return this.#pending.splice(0, READINGS_A_TURN)
  }

  /** No more than fit into so many bytes; `atLeast` where none fits. */
  takeFitting(bytes: number, atLeast: number): Pending[] {
    let room = bytes
    let fits = 0
    for (const { reading } of this.#pending) {
      room -= readingBytes(reading)
      if (room < 0 || fits === READINGS_A_TURN) break
      fits++
    }
    return this.#pending.splice(0, fits || atLeast)
  }

  putBack(taken: readonly Pending[]): void {
    this.#pending.unshift(...taken)
  }

  /** They give way to older readings: counted, and part of the next gap. */
  refuse(taken: readonly Pending[]): void {
    this.unsaid += taken.length
    const error = new AgentError('FW_SPOOL_FULL', 'the spool is full and new readings give way')
    for (const { failed } of taken) failed(error)
  }

  /** So many of the unsaid ones are in a gap, under the last number of this stream. */
  said(readings: number, { id, end }: Pick<StreamRecord, 'id' | 'end'>): void {
    this.unsaid -= readings
    this.#saidAt = `${id}/${end}`
  }

  /** The last number of this stream stands for refused readings. */
  hasSaidAt({ id, end }: Pick<StreamRecord, 'id' | 'end'>): boolean {
    return this.#saidAt === `${id}/${end}`
  }

  close(): void {
    for (const { failed } of this.#pending) failed(new AgentError('FW_SPOOL_CLOSED', 'the agent is ending'))
    this.#pending = []
  }
}
