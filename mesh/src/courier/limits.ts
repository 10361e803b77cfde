import { limitDefaults, type LimitOptions, type LimitTable, type LimitValues } from '@fieldwhisper/host'
import { LIVE_BYTES, LIVE_PACKETS } from './constants.js'

/** What the operator of an agent may set of the way its packets take, under `limits:`. */
export const COURIER_OPTIONS = {
  windowPackets: {
    key: 'window_packets',
    kind: 'count',
    unit: 'packets',
    min: 512,
    max: 4_096,
    default: 4_096,
    meaning: 'Packets sent and not yet confirmed by the gateway.',
    reason:
      'Half of what a mailbox at a relay holds, so it is not to be raised. Lowered, the agent takes less memory and drains a backlog over a slow path more slowly.',
    source: 'DESIGN 6',
    test: 'test/unit/mesh/courier-window.test.ts',
  },
  windowBytes: {
    key: 'window_bytes',
    kind: 'size',
    min: '2MiB',
    max: '16MiB',
    default: '16MiB',
    meaning: 'Bytes of such packets; they are kept in memory.',
    reason: 'As for their number: half of a mailbox. A machine with little memory may have less.',
    source: 'DESIGN 6',
    test: 'test/unit/mesh/courier-window.test.ts',
  },
} as const satisfies LimitOptions

export type CourierLimits = LimitValues<typeof COURIER_OPTIONS>

export const DEFAULT_COURIER_LIMITS: CourierLimits = limitDefaults(COURIER_OPTIONS)

export const COURIER_LIMITS: LimitTable = {
  title: 'The courier',
  programs: ['agent'],
  options: COURIER_OPTIONS,
  chosen: {
    LIVE_PACKETS: {
      value: LIVE_PACKETS,
      unit: 'packets',
      meaning: 'Of `window_packets`, kept for readings that were just taken.',
      reason: 'A long backlog never delays them.',
      source: 'DESIGN 6',
      test: 'test/unit/mesh/courier-window.test.ts',
    },
    LIVE_BYTES: {
      value: LIVE_BYTES,
      unit: 'bytes',
      meaning: 'The same of `window_bytes`.',
      reason: 'As for their number.',
      source: 'DESIGN 6',
      test: 'test/unit/mesh/courier-window.test.ts',
    },
  },
}
