import type { LimitOptions, LimitTable, LimitValues } from '@fieldwhisper/host'
import { GATEWAY_LINK_OPTIONS, LAN_OPTIONS } from '@fieldwhisper/mesh'
import { CORE_CONSTANTS, CORE_OPTIONS, LIFETIMES } from './core/limits.js'
import { SPARKPLUG_CONSTANTS } from './sparkplug/limits.js'

/** What only a gateway has. */
const OWN_OPTIONS = {
  ...GATEWAY_LINK_OPTIONS,
  ...CORE_OPTIONS,
  workerShare: {
    key: 'worker_share',
    kind: 'count',
    unit: 'percent',
    min: 5,
    max: 100,
    default: 25,
    meaning: 'Share of one processor core for the public-key work of handshakes.',
    reason:
      'Measured: 80 handshakes in the best of eight seconds and 65 in the median, at 100 percent 404 and 359, on two cores of an AMD EPYC with Node 20 (`npm run bench:handshakes`). Raised, many agents are back sooner, and a flood of handshakes takes more from the rest of the machine.',
    source: 'DESIGN 4',
    test: 'test/unit/gateway/handshake-worker.test.ts',
  },
} as const satisfies LimitOptions

/** What the operator of a gateway may set, under `limits:`. */
export const GATEWAY_OPTIONS = { ...LAN_OPTIONS, ...OWN_OPTIONS } as const satisfies LimitOptions

export type GatewayLimits = LimitValues<typeof GATEWAY_OPTIONS>

export const OUTBOX_OPTIONS = {
  maxBytes: {
    key: 'outbox.max_bytes',
    kind: 'size',
    min: '1MiB',
    max: '1TiB',
    default: '2GiB',
    meaning:
      'Room for readings that the broker has not acknowledged; when it is used up, nothing more is taken from agents, who keep theirs.',
    reason: 'Days of a broker that is away.',
    source: 'DESIGN 6',
    test: 'test/unit/gateway/bridge-outbox.test.ts',
  },
  keepSentMs: {
    key: 'outbox.keep_sent',
    kind: 'duration',
    min: '0s',
    max: '90d',
    default: '24h',
    meaning: 'Published readings are kept this long, as far as there is room.',
    reason: 'A broker that lost its disk can be given them again.',
    source: 'DESIGN 6',
    test: 'test/unit/gateway/bridge-outbox.test.ts',
  },
} as const satisfies LimitOptions

export const GATEWAY_LIMITS: LimitTable = {
  title: 'The gateway',
  programs: ['gateway'],
  options: OWN_OPTIONS,
  elsewhere: OUTBOX_OPTIONS,
  fixed: LIFETIMES,
  chosen: CORE_CONSTANTS,
}

export const SPARKPLUG_LIMITS: LimitTable = {
  title: 'The Sparkplug edge node',
  chosen: SPARKPLUG_CONSTANTS,
}
