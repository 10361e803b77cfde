import { limitDefaults, type LimitOptions, type LimitTable, type LimitValues } from '@fieldwhisper/host'
import { AGENT_LINK_OPTIONS, COURIER_OPTIONS, LAN_OPTIONS } from '@fieldwhisper/mesh'
import { MAX_BATCH_READINGS } from '@fieldwhisper/protocol'
import { BACKLOG_OPTIONS, CORE_CONSTANTS, SESSION_CONSTANTS } from './core/limits.js'

const OWN_OPTIONS = { ...AGENT_LINK_OPTIONS, ...BACKLOG_OPTIONS } as const satisfies LimitOptions

/** What the operator of an agent may set, under `limits:`. */
export const AGENT_OPTIONS = {
  ...LAN_OPTIONS,
  ...COURIER_OPTIONS,
  ...OWN_OPTIONS,
} as const satisfies LimitOptions

export type AgentLimits = LimitValues<typeof AGENT_OPTIONS>

export const DEFAULT_AGENT_LIMITS: AgentLimits = limitDefaults(AGENT_OPTIONS)

export const SPOOL_OPTIONS = {
  maxBytes: {
    key: 'spool.max_bytes',
    kind: 'size',
    min: '1MiB',
    max: '1TiB',
    default: '1GiB',
    meaning: 'Room for readings that the gateway has not confirmed.',
    reason: 'A month without a gateway at some readings a second, on a card of any size.',
    source: 'DESIGN 6',
    test: 'test/unit/agent/spool.test.ts',
  },
  maxAgeMs: {
    key: 'spool.max_age',
    kind: 'duration',
    min: '1m',
    max: '3650d',
    default: '90d',
    meaning: 'Older readings are dropped.',
    reason: 'As long as a gateway remembers a stream that ended.',
    source: 'DESIGN 6',
    test: 'test/unit/agent/spool.test.ts',
  },
  minFreeBytes: {
    key: 'spool.min_free_disk',
    kind: 'size',
    min: '0B',
    max: '1TiB',
    default: '256MiB',
    meaning:
      'So much of the disk is left to the rest of the machine; at that point the spool counts as full, above the 4 MiB it may always hold.',
    reason: 'A full disk keeps other programs from working.',
    source: 'DESIGN 6',
    test: 'test/unit/agent/spool.test.ts',
  },
} as const satisfies LimitOptions

export const BATCH_OPTIONS = {
  intervalMs: {
    key: 'batch.interval',
    kind: 'duration',
    min: '20ms',
    max: '60s',
    default: '1s',
    meaning:
      'Readings of this time are sealed together. Shorter is sooner, and costs more bytes and computing for each.',
    reason: 'A packet has at least 300 bytes whatever it carries.',
    source: 'DESIGN 6',
    test: 'test/unit/agent/spool.test.ts',
  },
  maxReadings: {
    key: 'batch.max_readings',
    kind: 'count',
    unit: 'readings',
    min: 1,
    max: MAX_BATCH_READINGS,
    default: 1_000,
    meaning: 'A batch is closed at this number, before its time is over.',
    reason: 'The gateway takes no more than the greatest value in one batch.',
    source: 'DESIGN 6, docs/protocol.md',
    test: 'test/unit/agent/spool.test.ts',
  },
} as const satisfies LimitOptions

export const AGENT_LIMITS: LimitTable = {
  title: 'The agent',
  programs: ['agent'],
  options: OWN_OPTIONS,
  elsewhere: { ...SPOOL_OPTIONS, ...BATCH_OPTIONS },
  fixed: SESSION_CONSTANTS,
  chosen: CORE_CONSTANTS,
}
