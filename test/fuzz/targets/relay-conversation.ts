import assert from 'node:assert/strict'
import { TokenBucket } from '@fieldwhisper/host'
import { decodeClientFrames, decodeRelayFrames, encodeFrame } from '@fieldwhisper/mesh/relay-frames'
import type { ClientFrame, RelayFrame } from '@fieldwhisper/mesh/relay-frames'
import { concat } from '@fieldwhisper/protocol'
import { addressKeyFromSeed } from '@fieldwhisper/protocol/address'
import { packetHash, ProtocolError } from '@fieldwhisper/protocol/packet'
import {
  Conversation,
  DEFAULT_LIMITS,
  Directory,
  Mailboxes,
  relayConstants,
  type Shared,
} from '@fieldwhisper/relay'
import { valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { storeOf } from '../support.js'

const NAME = 'relay.test'
const NONCE = new Uint8Array(32).fill(9)
const key = addressKeyFromSeed(new Uint8Array(32).fill(1))
/** Its owner never speaks here: nothing that it holds may go. */
const victim = addressKeyFromSeed(new Uint8Array(32).fill(2))

function packetTo(address: Uint8Array, type: number): Uint8Array {
  return concat(Uint8Array.of(type, 0), address, new Uint8Array(60).fill(7))
}

const held = packetTo(victim.address, 0x12)
const prove = (create: boolean, subscribe: boolean): ClientFrame => ({
  kind: 'prove',
  request: 1,
  create,
  subscribe,
  publicKey: key.publicKey,
  signature: key.sign(NONCE, NAME),
})
const mine = packetTo(key.address, 0x12)
const FRAMES: readonly ClientFrame[] = [
  prove(true, true),
  prove(false, false),
  { kind: 'deposit', request: 2, packet: mine },
  { kind: 'deposit', request: 3, packet: packetTo(victim.address, 0x11) },
  { kind: 'delete', address: key.address, hashes: [packetHash(mine)] },
  { kind: 'delete', address: victim.address, hashes: [packetHash(held)] },
  { kind: 'remove', request: 4, address: key.address },
  { kind: 'remove', request: 5, address: victim.address },
  { kind: 'publish', request: 6, slot: key.address, record: new Uint8Array(40).fill(3) },
  { kind: 'publish', request: 7, slot: victim.address, record: new Uint8Array(40).fill(4) },
  { kind: 'lookup', slot: key.address },
]

async function settled(): Promise<void> {
  for (let i = 0; i < 24; i++) await Promise.resolve()
}

/** A proof costs a signature check of 100 µs: what was checked once need not be checked again for this. */
export const relayConversation: Target = {
  name: 'relay-conversation',
  contract:
    'Every answer decodes, every request is answered at most once, and what belongs to an address that was not proven stays.',
  maxBytes: 8_192,
  testInputs: 1_200,
  seeds: () => [...FRAMES.map(encodeFrame), concat(...FRAMES.map(encodeFrame))],
  dictionary: FRAMES.map(encodeFrame),
  async run(input) {
    const frames = valueOrRefusal([ProtocolError], () => decodeClientFrames(input))
    if (frames === undefined) return
    const store = storeOf([])
    const mailboxes = new Mailboxes({ store, limits: DEFAULT_LIMITS, alarm: () => undefined }, 0)
    await mailboxes.create(victim.address, true, 0)
    const deposited = mailboxes.deposit(
      { address: victim.address, packet: held, hash: packetHash(held), hello: false, member: true },
      0,
    )
    assert.equal((await deposited).status, 0)
    const shared: Shared = {
      mailboxes,
      directory: new Directory(store, DEFAULT_LIMITS),
      names: () => [NAME],
      runningMs: () => 0,
      memberProofs: new TokenBucket({ perSecond: 50, burst: 50 }, 0),
      strangerProofs: new TokenBucket({ perSecond: 50, burst: 50 }, 0),
    }
    const answers: RelayFrame[] = []
    let ends = 0
    const link = {
      send: (frame: Uint8Array) => void answers.push(...decodeRelayFrames(Uint8Array.from(frame))),
      ready: () => true,
      end: () => void ends++,
    }
    const conversation = new Conversation(shared, link, { member: true, nonce: NONCE }, 0)
    conversation.open()
    for (const frame of frames) conversation.receive(frame, 0)
    await settled()
    conversation.drained()
    mailboxes.tick(relayConstants.LIVE_LINGER_MS)
    await settled()
    conversation.closed()
    await settled()
    const requests = frames.filter((frame) => 'request' in frame).length
    assert.ok(answers.filter((frame) => 'request' in frame).length <= requests, 'more answers than requests')
    assert.ok(ends <= frames.length)
    assert.ok(mailboxes.has(victim.address), 'a mailbox of another is gone')
    assert.equal(shared.directory.lookup(victim.address), undefined, 'a slot of another was written')
    const got: string[] = []
    const reader = {
      ready: () => true,
      hand: (packet: Uint8Array) => void got.push(Buffer.from(packet).toString('hex')),
    }
    mailboxes.subscribe(victim.address, reader, 0)
    await settled()
    assert.ok(got.includes(Buffer.from(held).toString('hex')), 'a packet of another is gone')
  },
}
