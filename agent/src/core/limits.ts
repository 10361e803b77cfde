import { limitDefaults, type LimitConstant, type LimitOptions, type LimitValues } from '@fieldwhisper/host'
import {
  FAILURE_BUDGET,
  HEARTBEAT_MS,
  LOST_AFTER_MS,
  LOST_AFTER_NEWER_RECORD_MS,
  LOST_AGAIN_MS,
  MAX_COMMANDS,
  PROBE_AFTER_MS,
  REKEY_AFTER_MS,
  REPLY_KEPT_MS,
  RESEAL_AFTER_MS,
} from './constants.js'

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

/** When an agent begins another session: the gateway keeps what it needs for that as long. */
export const SESSION_CONSTANTS: Readonly<Record<string, LimitConstant>> = {
  REKEY_AFTER_MS: {
    value: REKEY_AFTER_MS,
    unit: 'ms',
    meaning: 'A session that was answered is replaced after this time, or after 2^15 packets.',
    reason: 'Whoever copies the state of a device can listen for an hour.',
    source: 'DESIGN 4',
    test: 'test/unit/agent/core-times.test.ts',
  },
  RESEAL_AFTER_MS: {
    value: RESEAL_AFTER_MS,
    unit: 'ms',
    meaning:
      'What is unacknowledged in the old session so long after the new one was answered is sealed anew.',
    reason: 'An acknowledgement that is on its way arrives before that.',
    source: 'DESIGN 4',
    test: 'test/unit/agent/core-times.test.ts',
  },
  HEARTBEAT_MS: {
    value: HEARTBEAT_MS,
    unit: 'ms',
    meaning: 'An agent with nothing to say says so after this time.',
    reason: 'Its gateway calls it late after two and a half of them, and a packet a minute is cheap.',
    source: 'DESIGN 9',
    test: 'test/unit/agent/core-times.test.ts',
  },
  PROBE_AFTER_MS: {
    value: PROBE_AFTER_MS,
    unit: 'ms',
    meaning: 'Silence with something outstanding after which one session is begun without data.',
    reason: 'Longer than any restart of a gateway.',
    source: 'DESIGN 4',
    test: 'test/unit/agent/core-times.test.ts',
  },
  LOST_AFTER_MS: {
    value: LOST_AFTER_MS,
    unit: 'ms',
    meaning: 'Silence after which the agent comes back by the doorbell.',
    reason: 'Its session is over at the gateway, or the gateway is off.',
    source: 'DESIGN 4',
    test: 'test/unit/agent/core-times.test.ts',
  },
  LOST_AFTER_NEWER_RECORD_MS: {
    value: LOST_AFTER_NEWER_RECORD_MS,
    unit: 'ms',
    meaning: 'The same once a newer prekey record was seen.',
    reason: 'A gateway that was restored knows no session: readings flow five minutes after it is back.',
    source: 'DESIGN 4',
    test: 'test/unit/agent/core-times.test.ts',
  },
  LOST_AGAIN_MS: {
    value: LOST_AGAIN_MS,
    unit: 'ms',
    meaning: 'It tries again so often, give or take a fifth.',
    reason: 'A gateway that is off for weeks finds some dozen hellos of each agent.',
    source: 'DESIGN 4',
    test: 'test/unit/agent/core-times.test.ts',
  },
}

export const CORE_CONSTANTS: Readonly<Record<string, LimitConstant>> = {
  MAX_COMMANDS: {
    value: MAX_COMMANDS,
    unit: 'commands',
    meaning: 'Commands taken and not yet answered for; the next one is left, and comes again.',
    reason: 'As many as a gateway gives one device.',
    source: 'DESIGN 5',
    test: 'test/unit/agent/core-commands.test.ts',
  },
  REPLY_KEPT_MS: {
    value: REPLY_KEPT_MS,
    unit: 'ms',
    meaning: 'An answer that nobody takes is forgotten.',
    reason: 'A command lives for ten minutes at most; nobody waits any more.',
    source: 'DESIGN 5',
    test: 'test/unit/agent/core-commands.test.ts',
  },
  FAILURE_BUDGET: {
    value: FAILURE_BUDGET,
    unit: 'packets',
    meaning: 'Packets of one path that do not open; above it they are dropped unread.',
    reason: 'Guessing costs the agent some microseconds a packet, and nobody is shut out.',
    source: 'DESIGN 5',
    test: 'test/unit/agent/core-times.test.ts',
  },
}
