import { asArray, asBool, asBytes, asFinite, asText, asUint, type CborValue } from '../cbor.js'
import {
  BOOT_ID_BYTES,
  MAX_BATCH_BYTES,
  MAX_FLOORS,
  MAX_GAP_RANGES,
  MAX_MONO_MS,
  MAX_REPLY_CODE_BYTES,
  MAX_REPLY_TEXT_BYTES,
  MAX_WALL_MS,
  SESSION_ID_BYTES,
  STREAM_BYTES,
} from '../constants.js'
import { malformed } from '../errors.js'
import { fieldsFromCbor, rangesFromCbor, rangesToCbor, wordFromCbor, wordToCbor } from './fields.js'
import type {
  ClockReport,
  DataMessage,
  GapCause,
  GapMessage,
  ReplyMessage,
  ReplyStatus,
  SealedBatch,
  StreamState,
} from './types.js'

const CAUSES: readonly GapCause[] = ['full', 'age', 'lost', 'corrupt']
const STATUSES: readonly ReplyStatus[] = ['done', 'refused', 'failed', 'expired', 'unknown']

/** [batch or null, streams, ready, oldest session or null, down through, stamp, clock or null] */
export function encodeData(message: DataMessage): CborValue {
  const { batch, clock } = message
  return [
    batch ? [batch.stream, batch.number, batch.historical, batch.bytes] : null,
    message.streams.map(({ stream, floor, end, closed }) => [stream, floor, end, closed]),
    message.ready,
    message.oldestSession ?? null,
    message.downThrough,
    message.stampMs,
    clock ? [clock.bootId, clock.offsetMs, clock.errorMs] : null,
  ]
}

export function decodeData(value: CborValue): DataMessage {
  const [batch, streams, ready, oldest, downThrough, stamp, clock] = asArray(value, 'DATA', 7)
  return {
    kind: 'data',
    ...(batch !== null && { batch: decodeSealedBatch(batch) }),
    streams: asArray(streams, 'streams', 0, MAX_FLOORS).map(decodeStream),
    ready: asBool(ready, 'ready'),
    ...(oldest !== null && { oldestSession: asBytes(oldest, 'oldest session', SESSION_ID_BYTES) }),
    downThrough: asUint(downThrough, 'down id'),
    stampMs: asFinite(stamp, 'stamp', 0, MAX_MONO_MS),
    ...(clock !== null && { clock: decodeClock(clock) }),
  }
}

/** [cause, readings or null, stream, ranges] or [cause, readings or null, start number] */
export function encodeGap({ cause, readings, what }: GapMessage): CborValue {
  const head = [wordToCbor(CAUSES, cause), readings ?? null]
  return 'stream' in what ? [...head, what.stream, rangesToCbor(what.ranges)] : [...head, what.startsBefore]
}

export function decodeGap(value: CborValue): GapMessage {
  const [cause, readings, what, ranges] = asArray(value, 'GAP', 3, 4)
  return {
    kind: 'gap',
    cause: wordFromCbor(CAUSES, cause, 'gap cause'),
    ...(readings !== null && { readings: asUint(readings, 'readings') }),
    what:
      ranges === undefined
        ? { startsBefore: asUint(what, 'start number') }
        : {
            stream: asBytes(what, 'stream', STREAM_BYTES),
            ranges: rangesFromCbor(ranges, 'gap ranges', MAX_GAP_RANGES),
          },
  }
}

/** [id, status, code, text, result] */
export function encodeReply({ id, status, code, text, result }: ReplyMessage): CborValue {
  return [id, wordToCbor(STATUSES, status), code, text, result]
}

export function decodeReply(value: CborValue): ReplyMessage {
  const [id, status, code, text, result] = asArray(value, 'REPLY', 5)
  return {
    kind: 'reply',
    id: asUint(id, 'command id'),
    status: wordFromCbor(STATUSES, status, 'status'),
    code: asText(code, 'code', 0, MAX_REPLY_CODE_BYTES),
    text: asText(text, 'text', 0, MAX_REPLY_TEXT_BYTES),
    result: fieldsFromCbor(result, 'the result'),
  }
}

function decodeSealedBatch(value: CborValue | undefined): SealedBatch {
  const [stream, number, historical, bytes] = asArray(value, 'batch', 4)
  return {
    stream: asBytes(stream, 'stream', STREAM_BYTES),
    number: asUint(number, 'batch number'),
    historical: asBool(historical, 'historical'),
    bytes: asBytes(bytes, 'batch', 1, MAX_BATCH_BYTES),
  }
}

function decodeStream(value: CborValue): StreamState {
  const [stream, floor, end, closed] = asArray(value, 'stream', 4)
  const state = {
    stream: asBytes(stream, 'stream', STREAM_BYTES),
    floor: asUint(floor, 'floor'),
    end: asUint(end, 'end'),
    closed: asBool(closed, 'closed'),
  }
  if (state.floor > state.end) throw malformed('the floor of a stream is above its end')
  return state
}

function decodeClock(value: CborValue | undefined): ClockReport {
  const [bootId, offset, error] = asArray(value, 'clock', 3)
  return {
    bootId: asBytes(bootId, 'boot id', BOOT_ID_BYTES),
    offsetMs: asFinite(offset, 'clock offset', -MAX_WALL_MS, MAX_WALL_MS),
    errorMs: asFinite(error, 'clock error', 0, MAX_WALL_MS),
  }
}
