import {
  limitDefaults,
  type Budget,
  type LimitConstant,
  type LimitOptions,
  type LimitValues,
} from '@fieldwhisper/host'
import {
  CLOSED_STREAM_LIFE_MS,
  COMMAND_GRACE_MS,
  COMMAND_WORK_MS,
  FAILURE_BUDGET,
  FAILURES_IN_ALL,
  HELLO_BUDGET,
  INVITE_LIFE_MS,
  MAX_CANDIDATES,
  MAX_COMMANDS_AN_AGENT,
  MAX_OPEN_COMMANDS,
  MAX_OPEN_INVITES,
  MAX_OPEN_STREAMS,
  MAX_PARKED_BYTES,
  MAX_RECORD_JUMP,
  MAX_STREAM_RANGES,
  ONE_TIME_PREKEY_LIFE_MS,
  PARKED_BYTES,
  PARKED_MS,
  PARKED_PACKETS,
  REFUSAL_INTERVAL_MS,
  SIGNED_PREKEY_LIFE_MS,
  SIGNED_PREKEY_ROTATION_MS,
  SUPERSEDED_SESSION_LIFE_MS,
} from './constants.js'

/** What the operator of a gateway may set of its core, under `limits:`. */
export const CORE_OPTIONS = {
  waitingBytes: {
    key: 'waiting_bytes',
    kind: 'size',
    min: '4MiB',
    max: '1GiB',
    default: '64MiB',
    meaning:
      'Memory for packets received and not yet opened; at half of it links are not read, above it packets are dropped and come again.',
    reason:
      'What thousands of agents send while one commit is 10 s late. Raised, a disk that hangs costs more memory.',
    source: 'DESIGN 6',
    test: 'test/unit/gateway/core-limits.test.ts',
  },
  successorHellosPerSecond: {
    key: 'rekeys_per_second',
    kind: 'count',
    unit: 'hellos a second',
    min: 1,
    max: 1_000,
    default: 50,
    meaning:
      'Handshakes of agents that continue a session, of all agents together; four seconds of them at once.',
    reason:
      'A site of 5,000 agents rekeys 1.4 times a second. Above what the worker does in its share they wait, and are offered again.',
    source: 'DESIGN 4',
    test: 'test/unit/gateway/core-limits.test.ts',
  },
  doorbellHellosPerSecond: {
    key: 'doorbell_hellos_per_second',
    kind: 'count',
    unit: 'hellos a second',
    min: 1,
    max: 1_000,
    default: 20,
    meaning:
      'Handshakes that join or come back by a doorbell, together; two seconds of them at once. Doorbells of older epochs have a tenth.',
    reason: 'Every device of the site could ring. Raised, a flood leaves less of the worker to rekeys.',
    source: 'DESIGN 4',
    test: 'test/unit/gateway/core-limits.test.ts',
  },
} as const satisfies LimitOptions

export type CoreLimits = LimitValues<typeof CORE_OPTIONS>

export const DEFAULT_CORE_LIMITS: CoreLimits = limitDefaults(CORE_OPTIONS)

const SUCCESSOR_BURST_S = 4
const DOORBELL_BURST_S = 2
const OLD_EPOCH_PART = 10

/** Budgets that all agents share. */
export function helloBudgets(
  limits: CoreLimits,
): Readonly<Record<'successor' | 'doorbell' | 'oldEpoch', Budget>> {
  const { successorHellosPerSecond: successor, doorbellHellosPerSecond: doorbell } = limits
  const doorbellBurst = doorbell * DOORBELL_BURST_S
  return {
    successor: { perSecond: successor, burst: successor * SUCCESSOR_BURST_S },
    doorbell: { perSecond: doorbell, burst: doorbellBurst },
    oldEpoch: { perSecond: doorbell / OLD_EPOCH_PART, burst: Math.max(1, doorbellBurst / OLD_EPOCH_PART) },
  }
}

const PARTS = 'test/unit/gateway/core-parts.test.ts'
const COMMANDS = 'test/unit/gateway/core-commands.test.ts'
const HOSTILE = 'test/unit/gateway/core-hostile.test.ts'

/** How long a gateway keeps what agents come back with. All of it counts the time that the gateway runs. */
export const LIFETIMES: Readonly<Record<string, LimitConstant>> = {
  INVITE_LIFE_MS: {
    value: INVITE_LIFE_MS,
    unit: 'ms',
    meaning: 'An invite that nobody used.',
    reason: 'Time to walk to the device; a photograph of it is worth nothing tomorrow.',
    source: 'DESIGN 3',
    test: 'test/unit/gateway/core-times.test.ts',
  },
  SIGNED_PREKEY_ROTATION_MS: {
    value: SIGNED_PREKEY_ROTATION_MS,
    unit: 'ms',
    meaning: 'A new signed prekey is made this often.',
    reason: 'One record a day at each relay.',
    source: 'DESIGN 3',
    test: 'test/unit/gateway/core-times.test.ts',
  },
  SIGNED_PREKEY_LIFE_MS: {
    value: SIGNED_PREKEY_LIFE_MS,
    unit: 'ms',
    meaning: 'Its private half, and with it its doorbell.',
    reason: 'A relay keeps a hello for seven days.',
    source: 'DESIGN 3',
    test: 'test/unit/gateway/core-times.test.ts',
  },
  ONE_TIME_PREKEY_LIFE_MS: {
    value: ONE_TIME_PREKEY_LIFE_MS,
    unit: 'ms',
    meaning: 'The private half of a one-time prekey, for the successor of a session.',
    reason: 'As long as the spool of an agent keeps readings.',
    source: 'DESIGN 3',
    test: 'test/unit/gateway/core-times.test.ts',
  },
  SUPERSEDED_SESSION_LIFE_MS: {
    value: SUPERSEDED_SESSION_LIFE_MS,
    unit: 'ms',
    meaning: 'A session that a newer one replaced goes on receiving.',
    reason: 'A relay keeps its packets for seven days.',
    source: 'DESIGN 4',
    test: 'test/unit/gateway/core-times.test.ts',
  },
  CLOSED_STREAM_LIFE_MS: {
    value: CLOSED_STREAM_LIFE_MS,
    unit: 'ms',
    meaning: 'A stream that ended, and of which nothing is missing.',
    reason: 'As long as an agent could send one of its readings again.',
    source: 'DESIGN 5',
    test: 'test/unit/gateway/core-times.test.ts',
  },
  REFUSAL_INTERVAL_MS: {
    value: REFUSAL_INTERVAL_MS,
    unit: 'ms',
    meaning: 'A refused device is answered once in so long.',
    reason: 'Answering costs public-key work.',
    source: 'DESIGN 4',
    test: 'test/unit/gateway/core-times.test.ts',
  },
}

export const CORE_CONSTANTS: Readonly<Record<string, LimitConstant>> = {
  HELLO_BUDGET_LINK: {
    value: HELLO_BUDGET.link,
    unit: 'hellos',
    meaning: 'Handshakes of one link whose knock was right.',
    reason: 'A device begins one and repeats it; whatever is over is offered again.',
    source: 'DESIGN 4',
    test: 'test/unit/gateway/core-limits.test.ts',
  },
  HELLO_BUDGET_AGENT: {
    value: HELLO_BUDGET.agent,
    unit: 'hellos',
    meaning: 'Handshakes of one agent that continue a session.',
    reason: 'A mailbox with the hellos of a night of restarts; no agent uses up what all have.',
    source: 'DESIGN 4',
    test: 'test/unit/gateway/core-limits.test.ts',
  },
  FAILURE_BUDGET: {
    value: FAILURE_BUDGET,
    unit: 'packets',
    meaning:
      'Packets that do not open, of one link, or for one address from relays; above it the rest waits or is dropped unread.',
    reason: 'Guessing costs the gateway some microseconds a packet, and nobody is shut out.',
    source: 'DESIGN 5',
    test: PARTS,
  },
  FAILURES_IN_ALL: {
    value: FAILURES_IN_ALL,
    unit: 'packets',
    meaning: 'The same of all together; who brought none lately is not made to wait.',
    reason: 'Many links of one attacker are no way around.',
    source: 'DESIGN 5',
    test: PARTS,
  },
  PARKED_PACKETS: {
    value: PARKED_PACKETS,
    unit: 'packets',
    meaning: 'Packets of one link that overtook their own handshake and wait for it.',
    reason: 'What a device sends in the time of one handshake.',
    source: 'DESIGN 5',
    test: PARTS,
  },
  PARKED_BYTES: {
    value: PARKED_BYTES,
    unit: 'bytes',
    meaning: 'Bytes of such packets of one link.',
    reason: 'As for their number.',
    source: 'DESIGN 5',
    test: PARTS,
  },
  PARKED_MS: {
    value: PARKED_MS,
    unit: 'ms',
    meaning: 'Such a packet is not opened when it waited longer.',
    reason: 'It is offered again.',
    source: 'DESIGN 5',
    test: PARTS,
  },
  MAX_PARKED_BYTES: {
    value: MAX_PARKED_BYTES,
    unit: 'bytes',
    meaning: 'Bytes of such packets of all links.',
    reason: 'Thirty-two links that use all of theirs.',
    source: 'DESIGN 5',
    test: PARTS,
  },
  MAX_CANDIDATES: {
    value: MAX_CANDIDATES,
    unit: 'handshakes',
    meaning: 'Handshakes side by side on one successor; the next one replaces the oldest.',
    reason: 'An agent that restarts before it heard an answer leaves one each time.',
    source: 'DESIGN 4',
    test: 'test/unit/gateway/core-sessions.test.ts',
  },
  MAX_OPEN_INVITES: {
    value: MAX_OPEN_INVITES,
    unit: 'invites',
    meaning: 'Invites open at one time.',
    reason: 'Each could be used by whoever finds it; they are open for 24 h.',
    source: 'DESIGN 3',
    test: 'test/unit/gateway/core-reports.test.ts',
  },
  MAX_OPEN_STREAMS: {
    value: MAX_OPEN_STREAMS,
    unit: 'streams',
    meaning: 'Streams of one agent in which something is missing; the next one is refused and comes again.',
    reason: 'A process start makes one; twice what an agent has on its way.',
    source: 'DESIGN 5',
    test: HOSTILE,
  },
  MAX_STREAM_RANGES: {
    value: MAX_STREAM_RANGES,
    unit: 'ranges',
    meaning:
      'Ranges of what arrived of one stream; a batch that would make one more is refused and comes again.',
    reason: 'Bounds the record of an agent that leaves holes on purpose.',
    source: 'DESIGN 5',
    test: HOSTILE,
  },
  MAX_COMMANDS_AN_AGENT: {
    value: MAX_COMMANDS_AN_AGENT,
    unit: 'commands',
    meaning: 'Commands to one device that have no answer yet; the next one is refused.',
    reason: 'As many as a device keeps answers for.',
    source: 'DESIGN 6',
    test: COMMANDS,
  },
  MAX_OPEN_COMMANDS: {
    value: MAX_OPEN_COMMANDS,
    unit: 'commands',
    meaning: 'Commands to all devices that have no answer yet; the next one is refused.',
    reason: 'A script that gives commands without end fills two MiB of memory.',
    source: 'DESIGN 6',
    test: COMMANDS,
  },
  COMMAND_GRACE_MS: {
    value: COMMAND_GRACE_MS,
    unit: 'ms',
    meaning: 'The word that a command was taken is waited for so long after its time.',
    reason: 'It was taken in the last moment, and its packet is on the way.',
    source: 'DESIGN 6',
    test: COMMANDS,
  },
  COMMAND_WORK_MS: {
    value: COMMAND_WORK_MS,
    unit: 'ms',
    meaning: 'The answer to a command that was taken is waited for so long after its time.',
    reason: 'A program of an output has 10 s, and its answer a way to go.',
    source: 'DESIGN 6',
    test: COMMANDS,
  },
  MAX_RECORD_JUMP: {
    value: MAX_RECORD_JUMP,
    unit: 'records',
    meaning:
      'So much newer a record of its own makes a gateway believe in a backup; beyond that in a second gateway or stolen keys.',
    reason: 'One a day: 27 years.',
    source: 'DESIGN 10',
    test: 'test/unit/gateway/core-reports.test.ts',
  },
}
