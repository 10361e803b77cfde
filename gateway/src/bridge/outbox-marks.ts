import { errorText } from '@fieldwhisper/host'
import type { Reporter, Store, Write } from '@fieldwhisper/host'
import { encodeCbor } from '@fieldwhisper/protocol'

import {
  BRIDGE_RECORD_VERSION,
  MARK_INTERVAL_MS,
  MARK_RETRY_MS,
  MAX_REJECTED_ENTRIES,
  MAINTAIN_INTERVAL_MS,
} from './constants.js'
import { OUTBOX_REJECTED_TABLE, sequenceKey } from './outbox-entry.js'
import {
  aheadWrite,
  LANES,
  noThroughWrite,
  storedAhead,
  storedThrough,
  throughWrite,
  type Ahead,
  type Lane,
} from './outbox-position.js'
import type { OutboxSpace } from './outbox-space.js'
import { retainedWrite } from './retained.js'
import type { RetainedValues } from './retained.js'

export interface MarksOptions {
  readonly store: Store
  readonly space: OutboxSpace
  readonly retained: RetainedValues
  readonly reporter: Reporter
  readonly monoMs: () => number
  /** Counted life of this gateway, over restarts. */
  readonly runningMs: () => number
  /** Least time between two commits, in milliseconds. */
  readonly intervalMs?: number
  /** Beside that of MQTT topics. */
  readonly lanes?: readonly Lane[]
}

interface Position {
  /** All items up to here are at their broker. */
  through: number
  recorded: number
}

/**
 * Records on disk what the brokers have acknowledged: how far each lane of the outbox was sent, the current values, what is set aside and
 * what is deleted, all in one commit, as many batches as finished meanwhile. An item counts as sent only by this record, so
 * what a crash takes from it is published again under the same ids.
 */
export class OutboxMarks {
  readonly #positions = new Map<Lane, Position>()
  /** In the lane of MQTT topics. */
  #ahead: Ahead | undefined
  #aheadRecorded: Ahead | undefined
  readonly #options: MarksOptions
  readonly #rejected = new Map<number, Write>()
  #rejectedHeld: number
  /** Marks of lanes that are off, to be erased. */
  #erased: Write[]
  #timer: NodeJS.Timeout | undefined
  #maintainer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #lastMs = -Infinity
  #failing = false
  #stopped = false

  constructor(options: MarksOptions) {
    this.#options = options
    const lanes: readonly Lane[] = ['mqtt', ...(options.lanes ?? [])]
    for (const lane of lanes) {
      const through = storedThrough(options.store, lane)
      this.#positions.set(lane, { through, recorded: through })
    }
    this.#ahead = this.#aheadRecorded = storedAhead(options.store)
    this.#erased = LANES.filter((lane) => !lanes.includes(lane)).map(noThroughWrite)
    this.#rejectedHeld = [...options.store.range(OUTBOX_REJECTED_TABLE)].length
  }

  start(): void {
    this.#maintainer = setInterval(() => this.soon(), MAINTAIN_INTERVAL_MS)
    this.#maintainer.unref()
  }

  /** Records what is due now; resolves when that was tried. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#maintainer)
    clearTimeout(this.#timer)
    await this.#running
    await this.#commit()
  }

  /** Up to here everything was acknowledged in this lane. */
  through(lane: Lane = 'mqtt'): number {
    return this.#positions.get(lane)!.through
  }

  /** What of the MQTT topics was sent ahead of items that wait. */
  get ahead(): Ahead | undefined {
    return this.#ahead
  }

  /** Items from here on are sent ahead of those before. */
  goAhead(from: number): void {
    this.#ahead = { from, through: from - 1, entries: 0 }
  }

  /** Everything that was left behind is sent. False: the space is being counted, ask again. */
  caughtUp(): boolean {
    const ahead = this.#ahead
    if (!ahead) return true
    if (this.#options.space.counting) return false
    const before = this.settled
    const mqtt = this.#positions.get('mqtt')!
    mqtt.through = Math.max(mqtt.through, ahead.through)
    this.#ahead = undefined
    const { space } = this.#options
    // What is settled may be deleted once it is counted as that.
    void space.movedBetween(before, this.settled, () => !this.#stopped).then(() => this.soon())
    this.soon()
    return true
  }

  /** Up to here everything was acknowledged in every lane: it may be deleted. */
  get settled(): number {
    return Math.min(...[...this.#positions.values()].map(({ through }) => through))
  }

  /** The broker of this lane has every message of the items up to this one, which takes so many bytes. */
  sent(sequence: number, bytes: number, lane: Lane = 'mqtt'): void {
    if (lane === 'mqtt' && this.#ahead && sequence >= this.#ahead.from) {
      const { from, entries } = this.#ahead
      this.#ahead = { from, through: sequence, entries: entries + 1 }
      return this.soon()
    }
    this.#positions.get(lane)!.through = sequence
    // Lanes pass the items in order, so the last one to pass it is the one that sees it settled.
    if (this.settled >= sequence) this.#options.space.moved(sequence, bytes)
    this.soon()
  }

  /** Keeps an item that cannot be published for the person who repairs. Returns false if it is kept already. */
  reject(sequence: number, code: string, value: Uint8Array): boolean {
    if (this.#rejected.has(sequence)) return false
    this.#rejected.set(sequence, {
      table: OUTBOX_REJECTED_TABLE,
      key: sequenceKey(sequence),
      value: encodeCbor([BRIDGE_RECORD_VERSION, code, value]),
    })
    return true
  }

  soon(): void {
    if (this.#timer || this.#stopped) return
    const { intervalMs = MARK_INTERVAL_MS, monoMs } = this.#options
    const wait = this.#failing ? MARK_RETRY_MS : Math.max(0, this.#lastMs + intervalMs - monoMs())
    this.#timer = setTimeout(() => {
      this.#running = this.#commit().then(() => {
        this.#timer = undefined
        if (this.#failing || this.#unrecorded().length > 0 || this.#ahead !== this.#aheadRecorded) this.soon()
      })
    }, wait)
  }

  async #commit(): Promise<void> {
    const { store, space, retained, reporter, monoMs, runningMs } = this.#options
    const unrecorded = this.#unrecorded().map(([lane, { through }]) => ({ lane, through }))
    const ahead = this.#ahead
    const changes = retained.takeChanges()
    const rejected = [...this.#rejected].filter(([sequence]) => this.#isSent(sequence))
    this.#lastMs = monoMs()
    try {
      const { writes: deletions, done } = space.collect(this.settled, runningMs())
      const setAside = this.#rejections(rejected)
      const marks = unrecorded.map((mark) => throughWrite(mark.through, mark.lane))
      const writes = [
        ...changes.map(retainedWrite),
        ...setAside.writes,
        ...deletions,
        ...marks,
        ...(ahead === this.#aheadRecorded ? [] : [aheadWrite(ahead)]),
        ...this.#erased,
      ]
      if (writes.length > 0) await store.commit(writes)
      done()
      for (const [sequence] of rejected) this.#rejected.delete(sequence)
      this.#rejectedHeld = setAside.held
      this.#erased = []
      this.#aheadRecorded = ahead
      for (const mark of unrecorded) this.#positions.get(mark.lane)!.recorded = mark.through
      this.#failing = false
    } catch (cause) {
      retained.failed(changes)
      this.#failing = true
      reporter.event(
        'error',
        'FW_OUTBOX_MARK_FAILED',
        `What the broker acknowledged could not be recorded: ${errorText(cause)} After a restart it is published again.`,
      )
    }
  }

  #isSent(sequence: number): boolean {
    const ahead = this.#ahead
    return (
      sequence <= this.through() ||
      (ahead !== undefined && ahead.from <= sequence && sequence <= ahead.through)
    )
  }

  #unrecorded(): (readonly [Lane, Position])[] {
    return [...this.#positions].filter(([, { through, recorded }]) => through > recorded)
  }

  /** The new ones, and away with the oldest where they are too many. */
  #rejections(rejected: readonly (readonly [number, Write])[]): { writes: readonly Write[]; held: number } {
    const held = this.#rejectedHeld + rejected.length
    const over = held - MAX_REJECTED_ENTRIES
    const range = this.#options.store.range(OUTBOX_REJECTED_TABLE, { limit: Math.max(1, over) })
    const oldest =
      over > 0 ? [...range].map(({ key }) => ({ table: OUTBOX_REJECTED_TABLE, key, value: null })) : []
    return { writes: [...rejected.map(([, write]) => write), ...oldest], held: held - oldest.length }
  }
}
