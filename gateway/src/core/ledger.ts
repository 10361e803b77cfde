import {
  asArray,
  asBool,
  asFinite,
  asInteger,
  asUint,
  encodeCbor,
  hex,
  readU32,
  type CborValue,
  type Range,
  type StreamAck,
  type StreamState,
} from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import {
  CLOSED_STREAM_LIFE_MS,
  MAX_NUMBER_SPAN,
  MAX_OPEN_STREAMS,
  MAX_STREAM_RANGES,
  MAX_STREAMS,
  MAX_TURN_WRITES,
  STREAMS_FORGOTTEN,
} from './constants.js'
import { isSettled, settle, touches, unsettled } from './settled.js'
import type { Ports } from './ports.js'
import { readRecord, readTable, RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

const AGENT_BYTES = 32

/** What has arrived of one stream. */
interface StreamRecord {
  readonly stream: Uint8Array
  /** Every number below is settled: received, or covered by a gap. */
  through: number
  /** Settled numbers above `through`, ascending, not touching. */
  ranges: Range[]
  /** Numbers that were given out are below it. */
  end: number
  closed: boolean
  seenRunning: number
}

interface AgentStreams {
  readonly records: Map<string, StreamRecord>
  /** Of these, so many with something missing. */
  incomplete: number
}

export type Receipt = 'new' | 'seen' | 'refused'

/**
 * Which batches of which agent are settled: the memory behind deduplication and acknowledgement. A batch is (stream, number) for
 * life, so a restored agent, which draws a new stream, can never be taken for its old self.
 */
export class Ledger {
  readonly #agents = new Map<string, AgentStreams>()

  constructor(store: Store, ports: Pick<Ports, 'report'>) {
    const load = (key: Uint8Array, value: Uint8Array): { agent: Uint8Array; record: StreamRecord } => ({
      agent: key.subarray(0, AGENT_BYTES),
      record: decode(key.slice(AGENT_BYTES), value),
    })
    for (const { agent, record } of readTable(store, TABLE.ledger, ports, load)) {
      const streams = this.#streams(agent)
      streams.records.set(hex(record.stream), record)
      if (isIncomplete(record)) streams.incomplete++
    }
  }

  /** Whether a batch is settled already. */
  has(agentKey: Uint8Array, stream: Uint8Array, number: number): boolean {
    const record = this.#find(agentKey, stream)
    return record !== undefined && isSettled(record, number)
  }

  /** Whether a stream is new here and the agent had another one since the same start. */
  isSecondOfStart(agentKey: Uint8Array, stream: Uint8Array): boolean {
    const records = this.#agents.get(hex(agentKey))?.records
    if (!records || records.has(hex(stream))) return false
    const start = readU32(stream, 0)
    for (const record of records.values()) if (readU32(record.stream, 0) === start) return true
    return false
  }

  /** Notes one batch. 'refused' where it is out of the bounds that keep this ledger small; then it is not acknowledged. */
  receive(turn: Turn, agentKey: Uint8Array, stream: Uint8Array, number: number): Receipt {
    const record = this.#record(turn, agentKey, stream)
    if (!record || number >= record.through + MAX_NUMBER_SPAN) return 'refused'
    if (isSettled(record, number)) return 'seen'
    if (!this.#settle(turn, agentKey, record, { from: number, to: number + 1 })) return 'refused'
    return 'new'
  }

  /** Settles what an agent declared lost; returns how many batches of it had not arrived. */
  gap(turn: Turn, agentKey: Uint8Array, stream: Uint8Array, ranges: readonly Range[]): number {
    const record = this.#record(turn, agentKey, stream)
    if (!record) return 0
    let missing = 0
    for (const range of ranges) {
      const open = unsettled(record, range)
      if (open > 0 && this.#settle(turn, agentKey, record, range)) missing += open
    }
    return missing
  }

  /** Settles every stream that an agent began before `start` and lost; returns the missing batches that were declared. */
  gapBefore(turn: Turn, agentKey: Uint8Array, start: number): number {
    let missing = 0
    for (const record of this.#streams(agentKey).records.values()) {
      const open = unsettled(record, { from: 0, to: record.end })
      if (readU32(record.stream, 0) >= start || (open === 0 && record.closed)) continue
      missing += open
      this.#change(turn, agentKey, record, () => {
        settle(record, 0, record.end)
        record.closed = true
      })
    }
    return missing
  }

  /**
   * Takes over what an agent says of a stream. Below its floor everything was acknowledged, by this ledger or by one that is
   * lost; returns how many batches this ledger never saw.
   */
  declare(turn: Turn, agentKey: Uint8Array, { stream, floor, end, closed }: StreamState): number {
    const record = this.#record(turn, agentKey, stream)
    if (!record || (floor <= record.through && end <= record.end && (record.closed || !closed))) return 0
    const unknown = unsettled(record, { from: 0, to: floor })
    this.#change(turn, agentKey, record, () => {
      if (floor > record.through) settle(record, 0, floor)
      record.end = Math.max(record.end, end)
      record.closed ||= closed
    })
    return unknown
  }

  /** What can be acknowledged of a stream. */
  ack(agentKey: Uint8Array, stream: Uint8Array, maxRanges: number): StreamAck {
    const record = this.#find(agentKey, stream)
    return { stream, through: record?.through ?? 0, ranges: record?.ranges.slice(0, maxRanges) ?? [] }
  }

  /** The streams an agent used last, in hexadecimal, oldest first. */
  recent(agentKey: Uint8Array, count: number): string[] {
    return [...this.#streams(agentKey).records]
      .sort(([, a], [, b]) => a.seenRunning - b.seenRunning)
      .slice(-count)
      .map(([name]) => name)
  }

  /** Batches that an agent declared and that have not arrived. */
  missing(agentKey: Uint8Array): number {
    let missing = 0
    for (const record of this.#streams(agentKey).records.values()) {
      missing += unsettled(record, { from: 0, to: record.end })
    }
    return missing
  }

  /** Forgets complete streams that ended long ago. */
  expire(turn: Turn): void {
    for (const [agent, { records }] of this.#agents) {
      for (const record of records.values()) {
        if (turn.size >= MAX_TURN_WRITES) return
        const old = turn.running - record.seenRunning >= CLOSED_STREAM_LIFE_MS
        if (record.closed && old && !isIncomplete(record))
          forget(turn, Buffer.from(agent, 'hex'), records, record)
      }
    }
  }

  #find(agentKey: Uint8Array, stream: Uint8Array): StreamRecord | undefined {
    return this.#agents.get(hex(agentKey))?.records.get(hex(stream))
  }

  /** The record of a stream, new where there is room for one more. */
  #record(turn: Turn, agentKey: Uint8Array, stream: Uint8Array): StreamRecord | undefined {
    const streams = this.#streams(agentKey)
    const { records } = streams
    const name = hex(stream)
    let record = records.get(name)
    if (!record) {
      if (streams.incomplete >= MAX_OPEN_STREAMS) return undefined
      if (records.size >= MAX_STREAMS) this.#forgetSome(turn, agentKey, records)
      const fresh = { through: 0, ranges: [], end: 0, closed: false, seenRunning: turn.running }
      record = { stream: new Uint8Array(stream), ...fresh }
      records.set(name, record)
    }
    record.seenRunning = turn.running
    return record
  }

  #forgetSome(turn: Turn, agentKey: Uint8Array, records: Map<string, StreamRecord>): void {
    const complete = [...records.values()].filter((record) => !isIncomplete(record))
    complete.sort((a, b) => a.seenRunning - b.seenRunning)
    for (const record of complete.slice(0, STREAMS_FORGOTTEN)) forget(turn, agentKey, records, record)
  }

  /** False where that would make more ranges than are kept. */
  #settle(turn: Turn, agentKey: Uint8Array, record: StreamRecord, range: Range): boolean {
    const apart = range.from > record.through && !touches(record, range)
    if (apart && record.ranges.length >= MAX_STREAM_RANGES) return false
    this.#change(turn, agentKey, record, () => settle(record, range.from, range.to))
    return true
  }

  /** Every change of a record goes through here: it is counted and written. */
  #change(turn: Turn, agentKey: Uint8Array, record: StreamRecord, change: () => void): void {
    const streams = this.#streams(agentKey)
    const before = Number(isIncomplete(record))
    change()
    streams.incomplete += Number(isIncomplete(record)) - before
    turn.put(TABLE.ledger, ledgerKey(agentKey, record.stream), () => encodeCbor(recordOf(record)))
  }

  #streams(agentKey: Uint8Array): AgentStreams {
    const agent = hex(agentKey)
    let streams = this.#agents.get(agent)
    if (!streams) this.#agents.set(agent, (streams = { records: new Map(), incomplete: 0 }))
    return streams
  }
}

function isIncomplete({ through, end }: StreamRecord): boolean {
  return through < end
}

function forget(
  turn: Turn,
  agentKey: Uint8Array,
  records: Map<string, StreamRecord>,
  record: StreamRecord,
): void {
  records.delete(hex(record.stream))
  turn.erase(TABLE.ledger, ledgerKey(agentKey, record.stream))
}

function ledgerKey(agentKey: Uint8Array, stream: Uint8Array): Uint8Array {
  return Buffer.concat([agentKey, stream])
}

function recordOf({ through, ranges, end, closed, seenRunning }: StreamRecord): CborValue {
  return [RECORD_VERSION, through, ranges.map(({ from, to }) => [from, to]), end, closed, seenRunning]
}

function decode(stream: Uint8Array, value: Uint8Array): StreamRecord {
  const [, through, ranges, end, closed, seen] = readRecord(value, 'ledger entry', 6)
  const last = asUint(end, 'end', MAX_END)
  // Above what is settled and apart, as `settle` keeps them: a number that two ranges hold would be counted twice.
  let settledTo = asUint(through, 'through', last)
  return {
    stream,
    through: settledTo,
    ranges: asArray(ranges, 'ranges', 0, MAX_STREAM_RANGES).map((entry) => {
      const [first, behind] = asArray(entry, 'range', 2)
      const from = asInteger(first, 'from', settledTo + 1, last)
      settledTo = asInteger(behind, 'to', from + 1, last)
      return { from, to: settledTo }
    }),
    end: last,
    closed: asBool(closed, 'closed'),
    seenRunning: asFinite(seen, 'seen'),
  }
}

/** One above the highest number of a batch. */
const MAX_END = 2 ** 32
