import { limitDefaults, type LimitOptions, type LimitValues } from '@fieldwhisper/host'

/** What the operator of an agent may set of its core, under `limits:`. */
export const BACKLOG_OPTIONS = {
  backlogPerSecond: {
    key: 'backlog_per_second',
    kind: 'count',
    unit: 'packets a second',
    min: 1,
    max: 10_000,
    default: 250,
    meaning: 'Packets of readings that waited are sealed at this rate, a second of them at once.',
    reason:
      'A gateway that comes back is not buried by all agents at once. A month at one packet a second drains in three hours.',
    source: 'DESIGN 6',
    test: 'test/unit/agent/core-delivery.test.ts',
  },
} as const satisfies LimitOptions

export type BacklogLimits = LimitValues<typeof BACKLOG_OPTIONS>

export const DEFAULT_BACKLOG_LIMITS: BacklogLimits = limitDefaults(BACKLOG_OPTIONS)
