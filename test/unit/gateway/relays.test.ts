import { createReporter } from '@fieldwhisper/host'
import { startRelay, type RunningRelay } from '@fieldwhisper/relay'
import {
  addressKeyFromSeed,
  hex,
  packetHash,
  parseRecord,
  type AddressKey,
  type RelayInfo,
} from '@fieldwhisper/protocol'
import { createRelayClient, type RelayClient } from '@fieldwhisper/mesh'
import t, { type Test } from 'tap'
import { Relays } from '../../../gateway/src/relays.js'
import { temporaryFolder } from '../../support/folder.js'
import { until, within } from '../../support/until.js'
import { FakeRelay } from '../mesh/fake-relay.js'
import { CoreHarness } from './core-harness.js'

/*
 * The gateway at its relays, against a real relay, and against one that a test drives frame by frame.
 */

const slot = addressKeyFromSeed(new Uint8Array(32).fill(1))
const mailbox = addressKeyFromSeed(new Uint8Array(32).fill(2))
const SOON = { withinMs: 10_000 }

/** The newest record of a gateway, and the key of its doorbell. */
async function record(): Promise<{ readonly bytes: Uint8Array; readonly doorbell: AddressKey }> {
  const gateway = await CoreHarness.begin()
  const bytes = gateway.record!
  return { bytes, doorbell: gateway.held.get(hex(parseRecord(bytes).address))! }
}

interface Rig {
  readonly relays: Relays
  readonly packets: { readonly relay: number; readonly packet: Uint8Array }[]
  readonly shown: Uint8Array[]
  readonly codes: string[]
  /** Called where a record was shown; the next is published when it resolves. */
  onRecord: () => Promise<boolean>
}

function rig(t: Test): Rig {
  const codes: string[] = []
  const made: Rig = {
    packets: [],
    shown: [],
    codes,
    onRecord: () => Promise.resolve(true),
    relays: new Relays(slot, {
      reporter: createReporter({ level: 'debug', write: (line) => void codes.push(line.split(' ')[2]!) }),
      onPacket: (relay, packet) => void made.packets.push({ relay, packet }),
      onRecord: (_relay, bytes) => {
        made.shown.push(bytes)
        return made.onRecord()
      },
    }),
  }
  t.teardown(() => made.relays.stop())
  return made
}

async function realRelay(t: Test): Promise<{ readonly running: RunningRelay; readonly info: RelayInfo }> {
  const reporter = createReporter({ write: () => undefined })
  const listen = { host: '127.0.0.1', port: 0 }
  const running = await startRelay({ stateDir: temporaryFolder(t), reporter, listen })
  t.teardown(() => running.stop())
  return { running, info: { url: `ws://127.0.0.1:${running.port}`, token: running.token } }
}

async function depositor(t: Test, info: RelayInfo): Promise<RelayClient> {
  const reporter = createReporter({ write: () => undefined })
  const client = createRelayClient({ ...info, reporter })
  client.start()
  t.teardown(() => client.stop())
  await until(() => client.connected, { ...SOON, what: 'the depositor' })
  return client
}

function packetTo(address: Uint8Array, fill: number): Uint8Array {
  const packet = new Uint8Array(300).fill(fill)
  packet.set([0x12, 0])
  packet.set(address, 2)
  return packet
}

void t.test('a mailbox is held, its packets come, and what is discarded does not come again', async (t) => {
  const { info } = await realRelay(t)
  const { relays, packets } = rig(t)
  relays.hold(mailbox)
  await relays.use([info])
  const client = await depositor(t, info)
  const packet = packetTo(mailbox.address, 7)
  await until(async () => (await client.deposit(packet)).status === 'stored', {
    ...SOON,
    what: 'the deposit',
  })
  await until(() => packets.length === 1, { ...SOON, what: 'the packet' })
  t.same(packets[0]?.packet, packet)
  relays.discard(0, mailbox.address, packetHash(packet))
  const other = packetTo(mailbox.address, 8)
  await client.deposit(other)
  await until(() => packets.length === 2, { ...SOON, what: 'the second packet' })
  relays.renew(0)
  await until(() => packets.length === 3, { ...SOON, what: 'what was not discarded, after a new connection' })
  t.same(packets[2]?.packet, other)
  t.same(relays.status(), [{ url: info.url, connected: true }])
})

void t.test('a released mailbox is gone', async (t) => {
  const { info } = await realRelay(t)
  const { relays } = rig(t)
  relays.hold(mailbox)
  await relays.use([info])
  const client = await depositor(t, info)
  const deposited = async (): Promise<string> => (await client.deposit(packetTo(mailbox.address, 9))).status
  await until(async () => (await deposited()) === 'stored', { ...SOON, what: 'the mailbox' })
  relays.release(mailbox)
  await until(async () => (await deposited()) === 'refused', { ...SOON, what: 'its end' })
  t.equal(await deposited(), 'refused')
})

void t.test(
  'the record is published when the slot was looked at and its doorbell is open, once a connection',
  async (t) => {
    const { bytes, doorbell } = await record()
    const relay = await FakeRelay.start(t)
    const { relays, shown, ...rest } = rig(t)
    let looked = (): void => undefined
    const made = { ...rest, relays, shown }
    relays.hold(doorbell)
    relays.publish(bytes)
    const slow = new Promise<boolean>((resolve) => (looked = () => resolve(true)))
    Object.assign(made, { onRecord: () => slow })
    await relays.use([{ url: relay.url }])
    const connection = await until(() => relay.connections[0], { ...SOON, what: 'a connection' })
    await until(() => connection.of('lookup').length === 1, { ...SOON, what: 'the look' })
    const prove = await until(() => connection.of('prove').find(({ create }) => create), {
      ...SOON,
      what: 'the proof',
    })
    t.equal(connection.of('publish').length, 0)
    connection.send({ kind: 'record', slot: slot.address, record: new Uint8Array(0) })
    t.equal(connection.of('publish').length, 0, 'the doorbell is not open')
    connection.send({ kind: 'proved', request: prove.request, status: 0 })
    const proof = await until(() => connection.of('prove').find(({ create }) => !create), {
      ...SOON,
      what: 'the slot',
    })
    connection.send({ kind: 'proved', request: proof.request, status: 0 })
    const published = await until(() => connection.of('publish')[0], { ...SOON, what: 'the record' })
    t.same(published.record, bytes)
    connection.send({ kind: 'proved', request: published.request, status: 0 })
    relays.publish(bytes)
    relays.publish(bytes)
    looked()
    t.equal(connection.of('publish').length, 1)
  },
)

void t.test('a record that shows a restore is not overwritten before that is on disk', async (t) => {
  const { bytes, doorbell } = await record()
  const relay = await FakeRelay.start(t, {
    onFrame: (frame, connection) => {
      if (frame.kind === 'prove') connection.send({ kind: 'proved', request: frame.request, status: 0 })
      if (frame.kind === 'lookup')
        connection.send({ kind: 'record', slot: frame.slot, record: Uint8Array.of(1, 2, 3) })
    },
  })
  const made = rig(t)
  let committed = (): void => undefined
  made.onRecord = () => new Promise((resolve) => (committed = () => resolve(true)))
  made.relays.hold(doorbell)
  made.relays.publish(bytes)
  await made.relays.use([{ url: relay.url }])
  await until(() => made.shown.length === 1, { ...SOON, what: 'the record that was there' })
  const connection = relay.connections[0]!
  made.relays.hold(mailbox)
  await until(() => connection.of('prove').length >= 2, { ...SOON, what: 'a later frame' })
  t.equal(connection.of('publish').length, 0)
  committed()
  await until(() => connection.of('publish').length === 1, { ...SOON, what: 'the publication' })
})

void t.test('deletions that the socket does not take are tried again', async (t) => {
  const relay = await FakeRelay.start(t)
  const { relays } = rig(t)
  await relays.use([{ url: relay.url }])
  const connection = await until(() => relay.connections[0], { ...SOON, what: 'a connection' })
  await until(() => connection.of('lookup').length === 1, { ...SOON, what: 'the look' })
  connection.ws.pause()
  const hash = (i: number): Uint8Array =>
    new Uint8Array(
      Buffer.alloc(32)
        .fill(i % 251)
        .fill(i >>> 8, 0, 4),
    )
  let sent = 0
  // Far more than a paused socket takes, in portions that are below the bound for one relay.
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 40_000; i++) relays.discard(0, mailbox.address, hash(sent++))
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
  connection.ws.resume()
  const deleted = (): number => connection.of('delete').reduce((sum, { hashes }) => sum + hashes.length, 0)
  await until(() => deleted() >= sent || relay.connections.length > 1, {
    ...SOON,
    what: 'the deletions, or a new connection',
  })
  t.ok(deleted() >= sent || relay.connections.length > 1)
})

void t.test('a relay that cannot be dialled is reported and passed over', async (t) => {
  const { info } = await realRelay(t)
  const { relays, codes } = rig(t)
  await relays.use([{ url: 'http://nowhere' }, { url: 'ws://host', fingerprint: 'ab'.repeat(32) }, info])
  t.equal(codes.filter((code) => code === 'FW_RELAY_UNUSABLE').length, 2)
  await until(() => relays.status().some(({ connected }) => connected), { ...SOON, what: 'the good one' })
  t.equal(relays.status().length, 1)
  await within(relays.use([]), { ...SOON, what: 'leaving' })
  t.same(relays.status(), [])
})
