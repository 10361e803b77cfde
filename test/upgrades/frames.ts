import {
  decodeBeacon,
  encodeBeacon,
  LinkFrameParser,
  packetFrame,
  pingFrame,
  pongFrame,
  questionFrame,
  recordFrame,
  type LinkFrame,
} from '@fieldwhisper/mesh'
import {
  decodeClientFrames,
  decodeRelayFrames,
  encodeFrame,
  type ClientFrame,
  type RelayFrame,
} from '@fieldwhisper/mesh/relay-frames'
import { decodeInvite, encodeInvite, parseRecord } from '@fieldwhisper/protocol'
import { packetHash, parseHeader } from '@fieldwhisper/protocol/packet'
import type { StateDump } from './state.js'

/** What a release says on the wire, and how that release read it itself. */
export interface GoldenFrame {
  readonly kind: keyof typeof READERS
  readonly bytes: string
  readonly says: unknown
}

/** What the store and the relay put before a packet or record: frame 5, version and flags 2, stored 6. */
const PACKET_HEAD = 13
const DIRECTORY_HEAD = 7

const READERS = {
  'link frame': (bytes: Uint8Array): unknown => {
    const frames: LinkFrame[] = []
    new LinkFrameParser().push(bytes, (frame) => frames.push(frame) > 0)
    return frames
  },
  'frame to a relay': decodeClientFrames,
  'frame from a relay': decodeRelayFrames,
  beacon: decodeBeacon,
  invite: (bytes: Uint8Array): unknown => decodeInvite(Buffer.from(bytes).toString()),
  'prekey record': (bytes: Uint8Array): unknown => parseRecord(bytes),
  packet: (bytes: Uint8Array): unknown => ({ header: parseHeader(bytes), hash: packetHash(bytes) }),
} as const

/** How the present release reads it, bytes as hexadecimal. */
export function readFrame(kind: GoldenFrame['kind'], bytes: Uint8Array): unknown {
  const text = JSON.stringify(READERS[kind](bytes), (_, item: unknown) =>
    item instanceof Uint8Array ? Buffer.from(item).toString('hex') : item,
  )
  return JSON.parse(text)
}

/** One of each kind, with packets and the prekey record that lay at the relay. */
export function makeFrames(relay: StateDump): GoldenFrame[] {
  const at = (table: string, head: number): Uint8Array[] =>
    Object.values(relay.stores)
      .flat()
      .flatMap(([name, , value]) =>
        name === table ? [new Uint8Array(Buffer.from(value, 'hex').subarray(head))] : [],
      )
  const packets = at('packets', PACKET_HEAD)
  const [record] = at('directory', DIRECTORY_HEAD)
  if (packets.length < 2 || !record) throw new Error('the relay holds too little for golden frames')
  const [packet] = packets as [Uint8Array]
  const slot = new Uint8Array(16).fill(0x51)
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i)
  const client: ClientFrame[] = [
    { kind: 'prove', request: 1, create: true, subscribe: true, publicKey: bytes(32), signature: bytes(64) },
    { kind: 'deposit', request: 2, packet },
    { kind: 'delete', address: slot, hashes: [packetHash(packet), bytes(32)] },
    { kind: 'remove', request: 3, address: slot },
    { kind: 'publish', request: 4, slot, record },
    { kind: 'lookup', slot },
  ]
  const answers: RelayFrame[] = [
    { kind: 'challenge', nonce: bytes(32) },
    { kind: 'proved', request: 1, status: 0 },
    { kind: 'stored', request: 2, status: 0, roomPackets: 8_191, roomBytes: 1_000_000 },
    { kind: 'packet', packet },
    { kind: 'record', slot, record },
    { kind: 'closing', code: 1, text: 'the relay stops' },
  ]
  const links = [
    pingFrame(),
    pongFrame(),
    packetFrame(packet),
    questionFrame(slot),
    recordFrame(record, [{ address: '192.0.2.7', port: 24_708 }]),
  ]
  const invite = encodeInvite({
    siteFingerprint: bytes(16),
    directorySlot: slot,
    id: 0x8000_0007,
    secret: bytes(32),
    relays: [{ url: 'wss://relay.example:24780', token: 'a-throw-away-token', fingerprint: 'ab'.repeat(32) }],
  })
  const golden = (kind: GoldenFrame['kind'], found: Uint8Array): GoldenFrame => ({
    kind,
    bytes: Buffer.from(found).toString('hex'),
    says: readFrame(kind, found),
  })
  return [
    ...client.map((frame) => golden('frame to a relay', encodeFrame(frame))),
    ...answers.map((frame) => golden('frame from a relay', encodeFrame(frame))),
    ...links.map((pieces) => golden('link frame', Buffer.concat(pieces))),
    golden('beacon', encodeBeacon({ id: bytes(8), port: 24_708 }, bytes(16))),
    golden('invite', Buffer.from(invite)),
    golden('prekey record', record),
    ...packets.slice(0, 4).map((found) => golden('packet', found)),
  ]
}
