import { limitDefaults, type LimitOptions, type LimitTable, type LimitValues } from '@fieldwhisper/host'
import {
  BEACON_BYTES,
  BEACONS_PER_SECOND,
  DIAL_BUDGET_MS,
  HEARD_MAX,
  INBOUND_PER_ADDRESS,
  MAX_BUFFERED_BYTES,
  MAX_FRAME_BYTES,
  OUTGOING_PER_ADDRESS,
  QUESTION_BURST,
  QUESTIONS_PER_SECOND,
  ROTATION_MS,
} from './constants.js'

/** What the operator of an agent or a gateway may set of the LAN, under `limits:`. */
export const LAN_OPTIONS = {
  beaconIntervalMs: {
    key: 'beacon_interval',
    kind: 'duration',
    min: '1s',
    max: '30s',
    default: '5s',
    meaning: 'Time between two announcements, give or take a fifth; above 20 devices heard it is 30s.',
    reason:
      'Raised, a new device is found later; lowered, fifty devices are a steady murmur on every Wi-Fi cell. Above 30s others would forget it.',
    source: 'DESIGN 7',
    test: 'test/unit/mesh/lan-beacon-socket.test.ts',
  },
  dialsPerSecond: {
    key: 'dials_per_second',
    kind: 'count',
    unit: 'dials a second',
    min: 1,
    max: 20,
    default: 5,
    meaning: 'Connections tried because of announcements, after the first `dial_burst`.',
    reason: 'Without it a flood of forged beacons would make every device scan the subnet.',
    source: 'DESIGN 7',
    test: 'test/unit/mesh/lan-neighbours.test.ts',
  },
  dialBurst: {
    key: 'dial_burst',
    kind: 'count',
    unit: 'dials',
    min: 1,
    max: 256,
    default: 64,
    meaning: 'Connections tried at once because of announcements.',
    reason: 'Finds a factory of 64 devices without a wait.',
    source: 'DESIGN 7',
    test: 'test/unit/mesh/lan-neighbours.test.ts',
  },
  dialsAtOnce: {
    key: 'dials_at_once',
    kind: 'count',
    unit: 'dials',
    min: 1,
    max: 64,
    default: 4,
    meaning: 'Connections on their way at one time, of those tried because of announcements.',
    reason: 'Each takes up to 3 s where a firewall drops it.',
    source: 'DESIGN 7',
    test: 'test/unit/mesh/lan-neighbours.test.ts',
  },
} as const satisfies LimitOptions

/** Links of one device; the defaults differ by program. */
export const AGENT_LINK_OPTIONS = {
  inboundLinks: {
    key: 'inbound_links',
    kind: 'count',
    unit: 'links',
    min: 2,
    max: 1_024,
    default: 64,
    meaning: 'Links that other devices opened, half of them for those that delivered something that opened.',
    reason: 'A gateway and whoever searches. Raised, each may have 256 KiB waiting for it.',
    source: 'DESIGN 7',
    test: 'test/unit/mesh/lan-links.test.ts',
  },
  outgoingLinks: {
    key: 'outgoing_links',
    kind: 'count',
    unit: 'links',
    min: 1,
    max: 64,
    default: 8,
    meaning: 'Links that this device opens because of announcements; `peers` have places of their own.',
    reason:
      'What a search goes through at one time. Raised, a gateway that goes away is found sooner, and every search is louder.',
    source: 'DESIGN 7',
    test: 'test/unit/mesh/lan-neighbours.test.ts',
  },
} as const satisfies LimitOptions

export const GATEWAY_LINK_OPTIONS = {
  inboundLinks: {
    ...AGENT_LINK_OPTIONS.inboundLinks,
    max: 16_384,
    default: 1_024,
    reason: 'One an agent; agents beyond that use the relay. Each may have 256 KiB waiting for it.',
  },
  outgoingLinks: {
    ...AGENT_LINK_OPTIONS.outgoingLinks,
    max: HEARD_MAX,
    default: HEARD_MAX,
    reason:
      'Every device it can remember: agents have few links and hear many devices that look the same, so it is the gateway who ends their search.',
  },
} as const satisfies LimitOptions

/** What is the same in every program. */
export type LanLimits = LimitValues<typeof LAN_OPTIONS & typeof AGENT_LINK_OPTIONS>

export const DEFAULT_LAN_LIMITS: Readonly<Record<'agent' | 'gateway', LanLimits>> = {
  agent: limitDefaults({ ...LAN_OPTIONS, ...AGENT_LINK_OPTIONS }),
  gateway: limitDefaults({ ...LAN_OPTIONS, ...GATEWAY_LINK_OPTIONS }),
}

export const LAN_LIMITS: LimitTable = {
  title: 'The LAN',
  programs: ['agent', 'gateway'],
  options: LAN_OPTIONS,
  fixed: {
    BEACON_BYTES: {
      value: BEACON_BYTES,
      unit: 'bytes',
      meaning: 'A beacon; anything shorter or longer is none.',
      reason: 'magic 4, version 1, id 8, TCP port 2, reserved 16.',
      source: 'DESIGN 7, docs/protocol.md',
      test: 'test/unit/mesh/lan-beacon.test.ts',
    },
    MAX_FRAME_BYTES: {
      value: MAX_FRAME_BYTES,
      unit: 'bytes',
      meaning: 'Type and body of a frame on a link; one that announces more closes its link.',
      reason: 'A packet of 16 KiB and a record fit.',
      source: 'DESIGN 7, docs/protocol.md',
      test: 'test/unit/mesh/lan-frames.test.ts',
    },
  },
  chosen: {
    BEACONS_PER_SECOND: {
      value: BEACONS_PER_SECOND,
      unit: 'datagrams',
      meaning: 'Datagrams looked at in a second; of more only the number is kept.',
      reason: 'A flood costs one comparison each.',
      source: 'DESIGN 7',
      test: 'test/unit/mesh/lan-beacon-socket.test.ts',
    },
    HEARD_MAX: {
      value: HEARD_MAX,
      unit: 'addresses',
      meaning: 'Addresses remembered from beacons; the longest unheard leaves first.',
      reason: 'Raised, a flood of forged ones costs more memory.',
      source: 'DESIGN 7',
      test: 'test/unit/mesh/lan-neighbours.test.ts',
    },
    DIAL_BUDGET_MS: {
      value: DIAL_BUDGET_MS,
      unit: 'ms',
      meaning: 'A beacon causes one dial of its address in so long.',
      reason: 'A stranger who forges beacons of somebody’s address cannot have it dialled all the time.',
      source: 'DESIGN 7',
      test: 'test/unit/mesh/lan-neighbours.test.ts',
    },
    ROTATION_MS: {
      value: ROTATION_MS,
      unit: 'ms',
      meaning: 'While searching, one link gives its place away this often.',
      reason: 'Fifty devices are gone through within some minutes.',
      source: 'DESIGN 7',
      test: 'test/unit/mesh/lan-neighbours.test.ts',
    },
    OUTGOING_PER_ADDRESS: {
      value: OUTGOING_PER_ADDRESS,
      unit: 'links',
      meaning: 'Outgoing links to one address.',
      reason: 'An agent and a gateway on one machine.',
      source: 'DESIGN 7',
      test: 'test/unit/mesh/lan-neighbours.test.ts',
    },
    INBOUND_PER_ADDRESS: {
      value: INBOUND_PER_ADDRESS,
      unit: 'links',
      meaning: 'Links from one foreign address that have delivered nothing that opened.',
      reason: 'One machine does not take all places that strangers have.',
      source: 'DESIGN 7',
      test: 'test/unit/mesh/lan-links.test.ts',
    },
    MAX_BUFFERED_BYTES: {
      value: MAX_BUFFERED_BYTES,
      unit: 'bytes',
      meaning: 'Bytes that wait for one link; above it a packet counts as not offered.',
      reason: 'Raised, 1,024 slow readers cost more memory.',
      source: 'DESIGN 7',
      test: 'test/unit/mesh/lan-links.test.ts',
    },
    QUESTION_BURST: {
      value: { burst: QUESTION_BURST, perSecond: QUESTIONS_PER_SECOND },
      unit: 'questions',
      meaning: 'Questions for a record from one link that are passed on.',
      reason: 'An answer is thirty times a question.',
      source: 'DESIGN 7',
      test: 'test/unit/mesh/lan-links.test.ts',
    },
  },
}
