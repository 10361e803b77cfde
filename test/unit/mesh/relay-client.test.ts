import t from 'tap'
import { createRelayClient, reconnectDelayMs, relayTarget } from '@fieldwhisper/mesh'
import type { RelayClient, RelayClientOptions, RelayDepositResult } from '@fieldwhisper/mesh'
import { RELAY_TIMING, STATUS } from '@fieldwhisper/mesh/relay-frames'
import type { ClientFrame, RelayFrame, Status } from '@fieldwhisper/mesh/relay-frames'
import { until, within } from '../../support/until.js'
import { addressKey, from, packetTo } from '../relay/support.js'
import { FakeRelay, SOON_MS, type FakeConnection } from './fake-relay.js'

const key = addressKey('a')
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

interface Seen {
  readonly client: RelayClient
  readonly codes: string[]
  readonly events: string[]
  readonly packets: Uint8Array[]
  readonly proved: [string, Status][]
  readonly records: [string, string | undefined][]
  has(event: string, times?: number): Promise<unknown>
}

/** A client that keeps what it is told; stopped when the test ends. Waits between attempts are short. */
function clientOf(
  t: { teardown(handler: () => Promise<void>): void },
  url: string,
  options: Partial<RelayClientOptions> = {},
): Seen {
  const events: string[] = []
  const seen: Seen = {
    codes: [],
    events,
    packets: [],
    proved: [],
    records: [],
    has: (event, times = 1) =>
      until(() => events.filter((other) => other === event).length >= times, {
        withinMs: SOON_MS,
        what: `${event} (${times} times)`,
        everyMs: 5,
      }),
    client: createRelayClient({
      url,
      random: () => 0.02,
      reporter: { event: (_level, code) => void seen.codes.push(code) },
      onConnected: () => void events.push('connected'),
      onDisconnected: () => void events.push('disconnected'),
      onPacket: (packet) => void seen.packets.push(Uint8Array.from(packet)),
      onProved: (address, status) => void seen.proved.push([hexOf(address), status]),
      onRecord: (slot, record) => void seen.records.push([hexOf(slot), record && hexOf(record)]),
      ...options,
    }),
  }
  t.teardown(() => seen.client.stop())
  return seen
}

/** Answers everything as a relay with room would. */
function agreeable(frame: ClientFrame, connection: FakeConnection): void {
  const answer = ((): RelayFrame | undefined => {
    switch (frame.kind) {
      case 'prove':
      case 'remove':
      case 'publish':
        return { kind: 'proved', request: frame.request, status: STATUS.done }
      case 'deposit':
        return { kind: 'stored', request: frame.request, status: STATUS.done, roomPackets: 9, roomBytes: 900 }
      case 'lookup':
        return { kind: 'record', slot: frame.slot, record: new Uint8Array() }
      case 'delete':
        return undefined
    }
  })()
  if (answer) connection.send(answer)
}

t.test(
  'addresses are proven in the order given, for the name dialled, and again on every connection',
  async (t) => {
    const relay = await FakeRelay.start(t, { onFrame: agreeable })
    const seen = clientOf(t, relay.url)
    const keys = ['a', 'b', 'c'].map(addressKey)
    for (const each of keys) seen.client.prove(each, { create: each === key, subscribe: true })
    seen.client.start()
    await until(() => seen.proved.length === 3, { withinMs: SOON_MS, what: 'three proofs' })
    const first = await relay.connection(0)
    t.same(
      first
        .of('prove')
        .map(({ publicKey, signature, subscribe }) => [hexOf(publicKey), hexOf(signature), subscribe]),
      keys.map((each) => [
        hexOf(each.publicKey),
        hexOf(each.sign(new Uint8Array(32).fill(7), '127.0.0.1')),
        true,
      ]),
    )
    seen.client.forget(keys[1]!.address)
    first.ws.terminate()
    await until(() => seen.proved.length === 5, {
      withinMs: SOON_MS,
      what: 'two proofs on the second connection',
    })
    const second = await relay.connection(1)
    t.same(
      second.of('prove').map(({ publicKey }) => hexOf(publicKey)),
      [keys[0]!, keys[2]!].map((each) => hexOf(each.publicKey)),
    )
    t.same(seen.events, ['connected', 'disconnected', 'connected'])
  },
)

t.test(
  'an address that is given while connected is proven at once, and again when what is wished of it changes',
  async (t) => {
    const relay = await FakeRelay.start(t, { onFrame: agreeable })
    const seen = clientOf(t, relay.url)
    seen.client.start()
    await seen.has('connected')
    seen.client.prove(key, { create: true, subscribe: false })
    await until(() => seen.proved.length === 1, { withinMs: SOON_MS, what: 'the proof' })
    seen.client.prove(key, { create: true, subscribe: false })
    seen.client.prove(key, { create: true, subscribe: true })
    await until(() => seen.proved.length === 2, { withinMs: SOON_MS, what: 'the second proof' })
    t.same(
      (await relay.connection(0)).of('prove').map(({ subscribe }) => subscribe),
      [false, true],
    )
  },
)

t.test('at most 256 proofs are on their way', async (t) => {
  const relay = await FakeRelay.start(t)
  const seen = clientOf(t, relay.url)
  for (let i = 0; i < 300; i++) seen.client.prove(addressKey(`n${i}`), { create: true, subscribe: true })
  seen.client.start()
  const connection = await relay.connection(0)
  await until(() => connection.of('prove').length >= 256, { withinMs: SOON_MS, what: '256 proofs' })
  const lookups = seen.client.lookup(key.address)
  await until(() => connection.of('lookup').length === 1, { withinMs: SOON_MS, what: 'a frame behind them' })
  t.ok(lookups)
  t.equal(connection.of('prove').length, 256)
  for (const { request } of connection.of('prove'))
    connection.send({ kind: 'proved', request, status: STATUS.done })
  await until(() => connection.of('prove').length === 300, { withinMs: SOON_MS, what: 'the rest' })
})

t.test('a relay that is asked too fast is left alone for a second, and the order is kept', async (t) => {
  let refused = 0
  const relay = await FakeRelay.start(t, {
    onFrame: (frame, connection) => {
      if (frame.kind !== 'prove') return
      const status = ++refused <= 3 ? STATUS.rate : STATUS.done
      connection.send({ kind: 'proved', request: frame.request, status })
    },
  })
  const seen = clientOf(t, relay.url)
  const keys = ['a', 'b', 'c'].map(addressKey)
  for (const each of keys) seen.client.prove(each, { create: true, subscribe: true })
  const begun = performance.now()
  seen.client.start()
  await until(() => seen.proved.length === 3, { withinMs: SOON_MS, what: 'the proofs' })
  t.ok(performance.now() - begun >= 800)
  t.same(
    seen.proved,
    keys.map((each) => [hexOf(each.address), STATUS.done]),
  )
})

t.test('a deposit is answered with what the relay says', async (t) => {
  const answers = [STATUS.done, STATUS.full, STATUS.noMailbox]
  const relay = await FakeRelay.start(t, {
    onFrame: (frame, connection) => {
      if (frame.kind !== 'deposit') return
      connection.send({
        kind: 'stored',
        request: frame.request,
        status: answers.shift()!,
        roomPackets: 3,
        roomBytes: 500,
      })
    },
  })
  const seen = clientOf(t, relay.url)
  t.same(
    await seen.client.deposit(packetTo(key.address, 'p')),
    { status: 'unsent' },
    'before it is connected',
  )
  seen.client.start()
  await seen.has('connected')
  const deposit = (): Promise<RelayDepositResult> => seen.client.deposit(packetTo(key.address, 'p'))
  const room = { packets: 3, bytes: 500 }
  t.same(await deposit(), { status: 'stored', code: STATUS.done, room })
  t.same(await deposit(), { status: 'refused', code: STATUS.full, room })
  t.same(await deposit(), { status: 'refused', code: STATUS.noMailbox, room })
  t.match(
    await seen.client.deposit(new Uint8Array(20_000)),
    { status: 'refused', code: STATUS.malformed },
    'too large to be sent',
  )
})

t.test('deposits of one turn leave in few messages', async (t) => {
  const relay = await FakeRelay.start(t, { onFrame: agreeable })
  const seen = clientOf(t, relay.url)
  seen.client.start()
  await seen.has('connected')
  const connection = await relay.connection(0)
  const before = connection.messages
  const answers = Array.from({ length: 1_000 }, (_, i) => seen.client.deposit(packetTo(key.address, `p${i}`)))
  for (const { status } of await Promise.all(answers)) t.equal(status, 'stored')
  t.equal(connection.messages - before, Math.ceil((1_000 * 307) / 65_536))
})

t.test('beyond 1 MiB waiting for the socket, deposits are unsent and nothing piles up', async (t) => {
  const relay = await FakeRelay.start(t, { onFrame: agreeable })
  const seen = clientOf(t, relay.url)
  seen.client.start()
  await seen.has('connected')
  const packet = packetTo(key.address, 'p', { bytes: 16_384 })
  const answers = await Promise.all(Array.from({ length: 100 }, () => seen.client.deposit(packet)))
  t.equal(
    answers.filter(({ status }) => status === 'stored').length,
    64,
    'the one that reaches the bound is the last',
  )
  t.equal(answers.filter(({ status }) => status === 'unsent').length, 36)
  t.match(await seen.client.deposit(packet), { status: 'stored' }, 'afterwards there is room again')
})

t.test('deposits that wait for an answer are unsent when the connection is lost', async (t) => {
  const relay = await FakeRelay.start(t)
  const seen = clientOf(t, relay.url)
  seen.client.start()
  await seen.has('connected')
  const waiting = [
    seen.client.deposit(packetTo(key.address, 'p')),
    seen.client.publish(key, from('r', 10)),
    seen.client.remove(key),
  ]
  const connection = await relay.connection(0)
  await until(() => connection.frames.length > 0, { withinMs: SOON_MS, what: 'the frames' })
  connection.ws.terminate()
  t.same(await within(Promise.all(waiting), { withinMs: SOON_MS, what: 'the answers' }), [
    { status: 'unsent' },
    { status: 'unsent' },
    { status: 'unsent' },
  ])
})

t.test('a request that is never answered is unsent after its time', async (t) => {
  const relay = await FakeRelay.start(t)
  const seen = clientOf(t, relay.url, { timing: { requestMs: 100, checkMs: 20 } })
  seen.client.start()
  await seen.has('connected')
  t.same(
    await within(seen.client.deposit(packetTo(key.address, 'p')), { withinMs: SOON_MS, what: 'an answer' }),
    { status: 'unsent' },
  )
  t.same(seen.events, ['connected'], 'the connection stays')
})

t.test('a relay that leaves a proof without answer is left', async (t) => {
  const relay = await FakeRelay.start(t)
  const seen = clientOf(t, relay.url, { timing: { requestMs: 100, checkMs: 20 } })
  seen.client.prove(key, { create: true, subscribe: true })
  seen.client.start()
  await seen.has('disconnected')
  await relay.connection(1)
  t.pass('and tried again')
})

t.test('deletes are split, records published and asked for, mailboxes ended', async (t) => {
  const relay = await FakeRelay.start(t, { onFrame: agreeable })
  const seen = clientOf(t, relay.url)
  t.notOk(seen.client.deleteFrom(key.address, [from('h', 32)]), 'not connected')
  t.notOk(seen.client.lookup(key.address))
  t.same(await seen.client.publish(key, from('r', 10)), { status: 'unsent' })
  seen.client.start()
  await seen.has('connected')
  const connection = await relay.connection(0)
  const hashes = Array.from({ length: 1_300 }, (_, i) => from(`h${i}`, 32))
  t.ok(seen.client.deleteFrom(key.address, hashes))
  t.same(await seen.client.publish(key, from('r', 10)), { status: 'done' })
  t.same(
    connection.of('delete').map((frame) => frame.hashes.length),
    [512, 512, 276],
  )
  t.match(connection.of('prove'), [{ create: false, subscribe: false }], 'publishing proves the slot')
  t.same(await seen.client.publish(key, from('r', 5_000)), { status: 'refused', code: STATUS.malformed })
  t.ok(seen.client.lookup(key.address))
  await until(() => seen.records.length === 1, { withinMs: SOON_MS, what: 'the record' })
  t.same(seen.records, [[hexOf(key.address), undefined]])
  seen.client.prove(addressKey('kept'), { create: true, subscribe: true })
  t.same(await seen.client.remove(addressKey('kept')), { status: 'done' })
  t.same(
    connection.of('remove').map(({ address }) => hexOf(address)),
    [hexOf(addressKey('kept').address)],
  )
  connection.ws.terminate()
  const second = await relay.connection(1)
  await seen.has('connected', 2)
  t.same(await seen.client.remove(addressKey('other').address), { status: 'done' })
  t.same(second.of('prove'), [], 'what was ended or proven for once is not proven again')
})

t.test('a proof that is refused is told, and tried again much later', async (t) => {
  const relay = await FakeRelay.start(t, {
    onFrame: (frame, connection) => {
      if (frame.kind === 'prove')
        connection.send({ kind: 'proved', request: frame.request, status: STATUS.proofInvalid })
    },
  })
  const seen = clientOf(t, relay.url)
  seen.client.prove(key, { create: true, subscribe: true })
  seen.client.start()
  await until(() => seen.proved.length === 1, { withinMs: SOON_MS, what: 'the refusal' })
  t.same(seen.proved, [[hexOf(key.address), STATUS.proofInvalid]])
  t.same(await seen.client.publish(key, from('r', 10)), { status: 'refused', code: STATUS.proofInvalid })
  t.equal(seen.codes.filter((code) => code === 'FW_RELAY_PROOF_INVALID').length, 1, 'said once')
})

t.test('a silent peer is noticed within 45 s, and pings keep the way open', (t) => {
  t.ok(RELAY_TIMING.deadMs + RELAY_TIMING.checkMs <= 45_000)
  t.ok(2 * RELAY_TIMING.pingMs <= RELAY_TIMING.deadMs, 'two pings are missed before')
  t.equal(RELAY_TIMING.connectMs, 10_000)
  t.end()
})

t.test('a peer that is silent is noticed and left', async (t) => {
  const relay = await FakeRelay.start(t)
  const seen = clientOf(t, relay.url, { timing: { pingMs: 40, deadMs: 120, checkMs: 20 } })
  seen.client.start()
  const connection = await relay.connection(0)
  await until(() => connection.pings >= 4, { withinMs: SOON_MS, what: 'pings' })
  t.same(seen.events, ['connected'], 'answered pings keep the connection')
  connection.ws.pause()
  await seen.has('disconnected')
  await seen.has('connected', 2)
  t.ok(seen.codes.includes('FW_RELAY_LOST'))
})

t.test('a server that accepts and never challenges is left and tried again', async (t) => {
  const relay = await FakeRelay.start(t, { challenge: false })
  const seen = clientOf(t, relay.url, { timing: { connectMs: 100 } })
  seen.client.start()
  await relay.connection(2)
  t.same(seen.events, [])
  t.equal(seen.codes.filter((code) => code === 'FW_RELAY_UNREACHABLE').length >= 1, true)
})

t.test('a relay that speaks nonsense is left and tried again', async (t) => {
  const challenge: RelayFrame = { kind: 'challenge', nonce: new Uint8Array(32) }
  const nonsense: [string, (connection: FakeConnection) => void][] = [
    ['a frame before the challenge', (c) => c.send({ kind: 'proved', request: 1, status: STATUS.done })],
    ['a second challenge', (c) => c.send(challenge, challenge)],
    ['a frame of a client', (c) => c.ws.send(Uint8Array.of(0, 1, 6))],
    ['a truncated frame', (c) => c.ws.send(Uint8Array.of(0, 33, 0x81, 1))],
    ['an empty message', (c) => c.ws.send(new Uint8Array())],
  ]
  for (const [name, act] of nonsense) {
    const relay = await FakeRelay.start(t, { challenge: false })
    const seen = clientOf(t, relay.url)
    seen.client.start()
    act(await relay.connection(0))
    await relay.connection(1)
    t.ok(seen.codes.includes('FW_RELAY_MISBEHAVED'), name)
    await seen.client.stop()
  }
})

t.test('answers nobody asked for change nothing', async (t) => {
  const relay = await FakeRelay.start(t)
  const seen = clientOf(t, relay.url)
  seen.client.start()
  await seen.has('connected')
  const connection = await relay.connection(0)
  connection.send(
    { kind: 'proved', request: 77, status: STATUS.done },
    { kind: 'stored', request: 78, status: STATUS.done, roomPackets: 1, roomBytes: 1 },
    { kind: 'record', slot: key.address, record: from('r', 3) },
  )
  await until(() => seen.records.length === 1, { withinMs: SOON_MS, what: 'the last of them' })
  t.same(seen.proved, [])
  t.same(seen.events, ['connected'])
})

t.test('the reason of a relay that closes is told', async (t) => {
  const relay = await FakeRelay.start(t)
  const seen = clientOf(t, relay.url)
  seen.client.start()
  await seen.has('connected')
  const connection = await relay.connection(0)
  connection.send({ kind: 'closing', code: 6, text: 'The relay stops.' })
  connection.ws.close()
  await seen.has('disconnected')
  t.ok(seen.codes.includes('FW_RELAY_CLOSING'))
})

t.test('waits between attempts are anything from nothing to twice the last bound', (t) => {
  const longest = (failures: number, answered: boolean): number =>
    reconnectDelayMs(failures, answered, () => 1)
  const failures = [0, 1, 2, 3, 4, 5, 6, 1_000]
  t.same(
    failures.map((n) => longest(n, false)),
    [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 5_000],
    'at most 5 s to a relay that is not there',
  )
  t.same(
    failures.map((n) => longest(n, true)),
    [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000],
    'at most 30 s to one that answers and refuses',
  )
  t.equal(
    reconnectDelayMs(9, true, () => 0),
    0,
  )
  t.equal(
    reconnectDelayMs(0, false, () => 0.5),
    250,
  )
  t.end()
})

t.test(
  'a relay that is not there is tried for ever, and only the first failure is worth a warning',
  async (t) => {
    let attempts = 0
    const levels: string[] = []
    const seen = clientOf(t, 'ws://127.0.0.1:9', {
      random: () => {
        attempts++
        return 0
      },
      reporter: { event: (level, code) => void levels.push(`${level} ${code}`) },
    })
    seen.client.start()
    await until(() => attempts >= 8, { withinMs: SOON_MS, what: 'eight attempts' })
    t.equal(levels[0], 'warn FW_RELAY_UNREACHABLE')
    t.ok(levels.slice(1).every((level) => level === 'debug FW_RELAY_UNREACHABLE'))
  },
)

t.test('a client that was stopped stays so, and can be started again', async (t) => {
  const relay = await FakeRelay.start(t, { onFrame: agreeable })
  const seen = clientOf(t, relay.url)
  await seen.client.stop()
  seen.client.prove(key, { create: true, subscribe: true })
  seen.client.start()
  seen.client.start()
  await until(() => seen.proved.length === 1, { withinMs: SOON_MS, what: 'the proof' })
  const hashes = [from('h', 32)]
  seen.client.deleteFrom(key.address, hashes)
  await Promise.all([seen.client.stop(), seen.client.stop()])
  const first = await relay.connection(0)
  await until(() => first.of('delete').length === 1, { withinMs: SOON_MS, what: 'what was sent before' })
  t.notOk(seen.client.connected)
  t.equal(relay.connections.length, 1)
  t.same(await seen.client.deposit(packetTo(key.address, 'p')), { status: 'unsent' })
  seen.client.start()
  await seen.has('connected', 2)
  await until(() => seen.proved.length === 2, { withinMs: SOON_MS, what: 'the proof again' })
})

t.test('a relay address is checked before anything is done', (t) => {
  const reporter = { event: () => undefined }
  const wrong: [url: string, fingerprint?: string | undefined, token?: string][] = [
    ['relay:24780'],
    ['http://relay'],
    ['ws://user:secret@relay'],
    ['ws://relay/?token=1'],
    ['wss://relay', 'abc'],
    ['ws://relay', 'ab'.repeat(32)],
    ['wss://relay', undefined, 'with space'],
  ]
  for (const [url, fingerprint, token] of wrong) {
    const message = /^((?!secret).)*$/
    t.throws(
      () => createRelayClient({ url, fingerprint, token, reporter }),
      { name: 'MeshError', code: 'FW_RELAY_URL_INVALID', message },
      url,
    )
  }
  t.match(relayTarget('ws://Relay.LAN:24780'), {
    name: 'relay.lan',
    url: { href: 'ws://relay.lan:24780/v1' },
  })
  t.match(relayTarget('wss://[2001:DB8::1]/fw/', 'AB:'.repeat(31) + 'AB'), {
    name: '2001:db8::1',
    fingerprint: 'ab'.repeat(32),
    url: { pathname: '/fw/v1' },
  })
  t.end()
})
