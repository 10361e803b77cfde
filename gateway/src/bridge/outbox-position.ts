import type { Store, Write } from '@fieldwhisper/host'
import { asArray, asFinite, asUint, decodeCbor, encodeCbor } from '@fieldwhisper/protocol'
import { BRIDGE_RECORD_VERSION } from './constants.js'
import { OUTBOX_STATE_TABLE, OUTBOX_TABLE, sequenceKey, sequenceOf } from './outbox-entry.js'

/** Entries up to `through` were sent when the gateway had run for `runMs` of its counted life. */
export interface Age {
  readonly through: number
  readonly runMs: number
}

/** Ways out of the outbox, each with a mark of its own. MQTT topics are always one. */
export const LANES = ['mqtt', 'sparkplug'] as const
export type Lane = (typeof LANES)[number]

const THROUGH_KEYS: Readonly<Record<Lane, Buffer>> = {
  mqtt: Buffer.from('through'),
  sparkplug: Buffer.from('through/sparkplug'),
}
const AHEAD_KEY = Buffer.from('ahead')
const AGE_PREFIX = Buffer.from('age/')
const AGE_END = Buffer.from('age0')

/**
 * The last item that was sent; -1: none. Where that record was damaged and set aside, the newest age mark: what was sent
 * within the last minutes is then published again.
 */
export function storedThrough(store: Store, lane: Lane = 'mqtt'): number {
  const value = store.get(OUTBOX_STATE_TABLE, THROUGH_KEYS[lane])
  // A lane that is new tells nothing of the time before it.
  if (!value) return lane === 'mqtt' ? (storedAges(store).at(-1)?.through ?? -1) : storedThrough(store)
  return asUint(asArray(decodeCbor(value), 'mark', 2)[1], 'mark', Number.MAX_SAFE_INTEGER)
}

export function throughWrite(through: number, lane: Lane = 'mqtt'): Write {
  const value = encodeCbor([BRIDGE_RECORD_VERSION, through])
  return { table: OUTBOX_STATE_TABLE, key: THROUGH_KEYS[lane], value }
}

/** A lane that is off holds nothing back; switched on again it is new. */
export function noThroughWrite(lane: Lane): Write {
  return { table: OUTBOX_STATE_TABLE, key: THROUGH_KEYS[lane], value: null }
}

/** Items that were sent before others that came first: from `from` up to `through`. */
export interface Ahead {
  readonly from: number
  /** `from - 1`: none yet. */
  readonly through: number
  /** How many. */
  readonly entries: number
}

export function storedAhead(store: Store): Ahead | undefined {
  const value = store.get(OUTBOX_STATE_TABLE, AHEAD_KEY)
  if (!value) return undefined
  const numbers = asArray(decodeCbor(value), 'ahead', 4).map((one) =>
    asUint(one, 'ahead', Number.MAX_SAFE_INTEGER),
  )
  const [, from = 0, through = 0, entries = 0] = numbers
  return { from, through, entries }
}

export function aheadWrite(ahead: Ahead | undefined): Write {
  const value = ahead ? encodeCbor([BRIDGE_RECORD_VERSION, ahead.from, ahead.through, ahead.entries]) : null
  return { table: OUTBOX_STATE_TABLE, key: AHEAD_KEY, value }
}

/** Oldest first. */
export function storedAges(store: Store): Age[] {
  const entries = store.range(OUTBOX_STATE_TABLE, { from: AGE_PREFIX, to: AGE_END })
  return [...entries].map(({ key, value }) => ({
    through: sequenceOf(key.subarray(AGE_PREFIX.length)),
    runMs: asFinite(asArray(decodeCbor(value), 'age', 2)[1], 'age'),
  }))
}

export function ageWrite({ through, runMs }: Age): Write {
  return {
    table: OUTBOX_STATE_TABLE,
    key: Buffer.concat([AGE_PREFIX, sequenceKey(through)]),
    value: encodeCbor([BRIDGE_RECORD_VERSION, runMs]),
  }
}

/** The newest entry that is there, sent or not; -1: none. */
export function newestSequence(store: Store): number {
  const [newest] = store.range(OUTBOX_TABLE, { reverse: true, limit: 1 })
  return newest ? sequenceOf(newest.key) : -1
}

/** The highest sequence number ever used, 0 where there is none: the core goes on from it. */
export function lastOutboxSequence(store: Store): number {
  return Math.max(0, storedThrough(store), newestSequence(store))
}
