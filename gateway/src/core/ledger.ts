import {
  asArray,
  asBool,
  asFinite,
  asUint,
  decodeCbor,
  encodeCbor,
  hex,
  readU32,
  type Range,
  type StreamAck,
  type StreamState,
} from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import { CLOSED_STREAM_LIFE_MS, MAX_NUMBER_SPAN, MAX_OPEN_STREAMS, MAX_STREAM_RANGES } from './constants.js'
import { RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

const AGENT_BYTES = 32

/** What has arrived of one stream. */
interface StreamRecord {
  readonly stream: Uint8Array
  /** Every number below is settled: received, or covered by a gap. */
  through: number
  /** Settled numbers above `through`, ascending, not touching. */
  ranges: Range[]
  end: number
  closed: boolean
  seenRunning: number
}

export type Receipt = 'new' | 'seen' | 'refused'

/**
 * Which batches of which agent are settled: the memory behind deduplication and acknowledgement. A batch is (stream, number) for
 * life, so a restored agent, which draws a new stream, can never be taken for its old self.
 */
export class Ledger {
  readonly #agents = new Map<string, Map<string, StreamRecord>>()

  constructor(store: Store) {
    for (const { key, value } of store.range(TABLE.ledger)) {
      const record = decode(new Uint8Array(key.subarray(AGENT_BYTES)), value)
      this.#streams(hex(key.subarray(0, AGENT_BYTES))).set(hex(record.stream), record)
    }
  }

  /** Notes one batch. 'refused' where it is out of the bounds that keep this ledger small; then it is not acknowledged. */
  receive(turn: Turn, agentKey: Uint8Array, stream: Uint8Array, number: number): Receipt {
    const record = this.#record(turn, agentKey, stream)
    if (!record || number >= record.through + MAX_NUMBER_SPAN) return 'refused'
    if (settled(record, number)) return 'seen'
    if (number > record.through && record.ranges.length >= MAX_STREAM_RANGES && !touches(record, number))
      return 'refused'
    settle(record, number, number + 1)
    this.#save(turn, agentKey, record)
    return 'new'
  }

  /** Settles what an agent declared lost; returns how many batches of it had not arrived. */
  gap(turn: Turn, agentKey: Uint8Array, stream: Uint8Array, ranges: readonly Range[]): number {
    const record = this.#record(turn, agentKey, stream)
    if (!record) return 0
    const before = unsettled(record, ranges)
    for (const { from, to } of ranges) {
      if (to <= record.through + MAX_NUMBER_SPAN && record.ranges.length < MAX_STREAM_RANGES)
        settle(record, from, to)
    }
    this.#save(turn, agentKey, record)
    return before
  }

  /** Settles every stream that an agent began before `start` and lost; returns the missing batches that were declared. */
  gapBefore(turn: Turn, agentKey: Uint8Array, start: number): number {
    let missing = 0
    for (const record of this.#streams(hex(agentKey)).values()) {
      if (readU32(record.stream, 0) >= start) continue
      missing += unsettled(record, [{ from: 0, to: record.end }])
      settle(record, 0, record.end)
      record.closed = true
      this.#save(turn, agentKey, record)
    }
    return missing
  }

  /**
   * Takes over what an agent says of a stream. Below its floor everything was acknowledged, by this ledger or by one that is
   * lost; returns how many batches this ledger never saw.
   */
  declare(turn: Turn, agentKey: Uint8Array, state: StreamState): number {
    const record = this.#record(turn, agentKey, state.stream)
    if (!record) return 0
    const unknown = state.floor > record.through ? unsettled(record, [{ from: 0, to: state.floor }]) : 0
    const changed = state.floor > record.through || state.end > record.end || state.closed !== record.closed
    if (state.floor > record.through) settle(record, 0, state.floor)
    record.end = Math.max(record.end, state.end)
    record.closed ||= state.closed
    if (changed) this.#save(turn, agentKey, record)
    return unknown
  }

  /** What can be acknowledged of a stream. */
  ack(agentKey: Uint8Array, stream: Uint8Array, maxRanges: number): StreamAck {
    const record = this.#agents.get(hex(agentKey))?.get(hex(stream))
    return { stream, through: record?.through ?? 0, ranges: record?.ranges.slice(0, maxRanges) ?? [] }
  }

  /** The streams an agent used last, in hexadecimal, oldest first. */
  recent(agentKey: Uint8Array, count: number): string[] {
    const streams = [...(this.#agents.get(hex(agentKey)) ?? [])]
    return streams
      .sort(([, a], [, b]) => a.seenRunning - b.seenRunning)
      .slice(-count)
      .map(([name]) => name)
  }

  /** Batches that an agent declared and that have not arrived. */
  missing(agentKey: Uint8Array): number {
    let missing = 0
    for (const record of this.#agents.get(hex(agentKey))?.values() ?? []) {
      missing += unsettled(record, [{ from: 0, to: record.end }])
    }
    return missing
  }

  /** Forgets streams that ended long ago. */
  expire(turn: Turn): void {
    for (const [agent, streams] of this.#agents) {
      for (const [name, record] of streams) {
        if (!record.closed || turn.running - record.seenRunning < CLOSED_STREAM_LIFE_MS) continue
        streams.delete(name)
        turn.erase(TABLE.ledger, ledgerKey(Buffer.from(agent, 'hex'), record.stream))
      }
    }
  }

  #record(turn: Turn, agentKey: Uint8Array, stream: Uint8Array): StreamRecord | undefined {
    const streams = this.#streams(hex(agentKey))
    const name = hex(stream)
    let record = streams.get(name)
    if (!record) {
      if (openStreams(streams) >= MAX_OPEN_STREAMS) return undefined
      const fresh = { through: 0, ranges: [], end: 0, closed: false, seenRunning: turn.running }
      record = { stream: new Uint8Array(stream), ...fresh }
      streams.set(name, record)
    }
    record.seenRunning = turn.running
    return record
  }

  #streams(agent: string): Map<string, StreamRecord> {
    let streams = this.#agents.get(agent)
    if (!streams) this.#agents.set(agent, (streams = new Map<string, StreamRecord>()))
    return streams
  }

  #save(turn: Turn, agentKey: Uint8Array, record: StreamRecord): void {
    const { through, ranges, end, closed, seenRunning } = record
    const value = [
      RECORD_VERSION,
      through,
      ranges.map(({ from, to }) => [from, to]),
      end,
      closed,
      seenRunning,
    ]
    turn.put(TABLE.ledger, ledgerKey(agentKey, record.stream), encodeCbor(value))
  }
}

function settled({ through, ranges }: StreamRecord, number: number): boolean {
  return number < through || ranges.some(({ from, to }) => number >= from && number < to)
}

function touches({ ranges }: StreamRecord, number: number): boolean {
  return ranges.some(({ from, to }) => number === to || number === from - 1)
}

/** Adds [from, to) and moves `through` up over what has become contiguous. */
function settle(record: StreamRecord, from: number, to: number): void {
  const merged: Range[] = []
  let added = { from: Math.min(from, to), to }
  for (const range of record.ranges) {
    if (range.to < added.from || range.from > added.to) merged.push(range)
    else added = { from: Math.min(range.from, added.from), to: Math.max(range.to, added.to) }
  }
  if (added.from <= record.through) record.through = Math.max(record.through, added.to)
  else merged.push(added)
  merged.sort((a, b) => a.from - b.from)
  while (merged[0] && merged[0].from <= record.through)
    record.through = Math.max(record.through, merged.shift()!.to)
  record.ranges = merged
  record.end = Math.max(record.end, to)
}

function unsettled(record: StreamRecord, ranges: readonly Range[]): number {
  let count = 0
  for (const { from, to } of ranges) {
    let open = Math.max(0, to - Math.max(from, record.through))
    for (const range of record.ranges) {
      open -= Math.max(0, Math.min(to, range.to) - Math.max(from, range.from, record.through))
    }
    count += open
  }
  return count
}

function openStreams(streams: Map<string, StreamRecord>): number {
  let open = 0
  for (const { closed, through, end } of streams.values()) if (!closed || through < end) open++
  return open
}

function ledgerKey(agentKey: Uint8Array, stream: Uint8Array): Uint8Array {
  return Buffer.concat([agentKey, stream])
}

function decode(stream: Uint8Array, value: Uint8Array): StreamRecord {
  const [, through, ranges, end, closed, seen] = asArray(decodeCbor(value), 'ledger entry', 6)
  return {
    stream,
    through: asUint(through, 'through'),
    ranges: asArray(ranges, 'ranges', 0, MAX_STREAM_RANGES + 1).map((entry) => {
      const [from, to] = asArray(entry, 'range', 2)
      return { from: asUint(from, 'from'), to: asUint(to, 'to') }
    }),
    end: asUint(end, 'end'),
    closed: asBool(closed, 'closed'),
    seenRunning: asFinite(seen, 'seen'),
  }
}
