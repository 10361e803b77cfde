import { connect } from 'node:net'
import { readFileSync } from 'node:fs'
import { get } from 'node:https'
import t from 'tap'
import { WebSocket } from 'ws'
import { CLOSING, STATUS } from '@fieldwhisper/mesh/relay-frames'
import { packetHash } from '@fieldwhisper/protocol/packet'
import { loadRelayConfig, relayConstants, startRelay } from '@fieldwhisper/relay'
import { temporaryFolder } from '../../support/folder.js'
import { until, within } from '../../support/until.js'
import { listener, RawClient, silent, SOON_MS, testRelay } from './raw-client.js'
import { addressKey, from, packetTo } from './support.js'

const key = addressKey('a')
const fixture = (name: string): string => new URL(`fixtures/${name}`, import.meta.url).pathname

/** The HTTP status with which an upgrade is refused. */
function refusal(url: string, headers: Record<string, string> = {}): Promise<number> {
  const ws = new WebSocket(url, { headers })
  ws.on('error', () => undefined)
  return within(
    new Promise<number>((resolve, reject) => {
      ws.on('unexpected-response', (_request, response) => {
        resolve(response.statusCode ?? 0)
        ws.terminate()
      })
      ws.on('open', () => reject(new Error('let in')))
    }),
    { withinMs: SOON_MS, what: 'the refusal' },
  )
}

t.test('deposit, then subscribe: the packet waits for its reader', async (t) => {
  const { relay, url } = await testRelay(t)
  const owner = await RawClient.open(url)
  t.equal(await owner.prove(key, { create: true }), STATUS.done)
  const sender = await RawClient.open(url)
  const packet = packetTo(key.address, 'p')
  t.match(await sender.deposit(packet), { status: STATUS.done, roomPackets: 8_191 })
  t.equal(await owner.prove(key, { subscribe: true }), STATUS.done)
  t.same((await owner.next('packet')).packet, packet)
  owner.send({ kind: 'delete', address: key.address, hashes: [packetHash(packet)] })
  await until(() => relay.status().packets === 0, { withinMs: SOON_MS, what: 'the deletion' })
})

t.test('subscribe, then deposit: the packet comes before it is called stored', async (t) => {
  const { url } = await testRelay(t)
  const owner = await RawClient.open(url)
  await owner.prove(key, { create: true, subscribe: true })
  const sender = await RawClient.open(url)
  const packet = packetTo(key.address, 'p')
  const stored = sender.deposit(packet)
  t.same((await owner.next('packet')).packet, packet)
  t.same(
    sender.got.filter(({ kind }) => kind === 'stored'),
    [],
    'neither durable nor taken',
  )
  owner.send({ kind: 'delete', address: key.address, hashes: [packetHash(packet)] })
  t.match(await stored, { status: STATUS.done })
})

t.test('a deposit without a mailbox is refused on the wire', async (t) => {
  const { relay, url } = await testRelay(t)
  const sender = await RawClient.open(url)
  t.match(await sender.deposit(packetTo(key.address, 'p')), {
    status: STATUS.noMailbox,
    roomPackets: 0,
    roomBytes: 0,
  })
  t.match(relay.status(), { mailboxes: 0, packets: 0 })
})

t.test('a proof is for the name that was dialled; the Host header means nothing', async (t) => {
  const { url } = await testRelay(t)
  const client = await RawClient.open(url.replace('127.0.0.1', 'localhost'))
  t.equal(await client.prove(key, { name: 'elsewhere.test', create: true }), STATUS.proofInvalid)
  t.equal(await client.prove(key, { name: 'localhost', create: true }), STATUS.done)
  const ws = new WebSocket(url, { headers: { host: 'elsewhere.test' } })
  const lying = new (RawClient as any)(ws) as RawClient
  lying.nonce = (await lying.next('challenge')).nonce
  t.equal(await lying.prove(key, { name: 'elsewhere.test' }), STATUS.proofInvalid)
})

t.test('garbage closes its own connection and no other', async (t) => {
  const { url } = await testRelay(t)
  const good = await RawClient.open(url)
  await good.prove(key, { create: true })
  const garbage: [string, (client: RawClient) => void][] = [
    ['an unknown frame', (client) => client.ws.send(Uint8Array.of(0, 1, 9))],
    ['an empty message', (client) => client.ws.send(new Uint8Array(0))],
    ['a text message', (client) => client.ws.send('hello')],
    ['half a frame', (client) => client.ws.send(Uint8Array.of(0, 17, 6, 1))],
    ['a message over 64 KiB', (client) => client.ws.send(new Uint8Array(64 * 1024 + 1))],
    ['bytes that are no WebSocket', (client) => (client.ws as any)._socket.write(Buffer.alloc(64, 0xff))],
  ]
  for (const [name, act] of garbage) {
    const bad = await RawClient.open(url)
    act(bad)
    await within(bad.closed, { withinMs: SOON_MS, what: `the end after ${name}` })
    if (!/64 KiB|WebSocket/.test(name))
      t.match(bad.got.at(-1), { kind: 'closing', code: CLOSING.malformed }, name)
    else t.pass(name)
  }
  t.match(await good.deposit(packetTo(key.address, 'p')), { status: STATUS.done }, 'the others go on')
})

t.test('frames of a message before a bad one are not acted on', async (t) => {
  const { relay, url } = await testRelay(t)
  const owner = await RawClient.open(url)
  await owner.prove(key, { create: true })
  const packet = packetTo(key.address, 'p')
  const frame = Buffer.concat([Buffer.from('0131020000000a', 'hex'), packet])
  const bad = await RawClient.open(url)
  bad.ws.send(Buffer.concat([frame, Buffer.from('000109', 'hex')]))
  await bad.closed
  t.equal(relay.status().packets, 0)
  bad.got.length = 0
  const again = await RawClient.open(url)
  again.ws.send(frame)
  t.match(await again.next('stored'), { request: 10, status: STATUS.done }, 'the good one alone is fine')
})

t.test('a reader that does not drain its socket is cut, and what it did not delete is kept', async (t) => {
  const { relay, url } = await testRelay(t, {
    limits: { slowMs: 500, creditPackets: 8_192, creditBytes: 64 * 1024 * 1024 },
  })
  const { token } = relay
  const sender = await RawClient.open(url, token)
  await sender.prove(key, { create: true })
  const total = 1_000
  for (let i = 0; i < total; i++) {
    sender.send({ kind: 'deposit', request: i, packet: packetTo(key.address, `p${i}`, { bytes: 16_384 }) })
  }
  await sender.count('stored', total, 30_000)
  const slow = await RawClient.open(url, token)
  await slow.prove(key)
  slow.ws.pause()
  const gone = until(() => relay.status().connections === 1, { withinMs: 20_000, what: 'the cut' })
  const { publicKey } = key
  const signature = key.sign(slow.nonce, '127.0.0.1')
  slow.send({ kind: 'prove', request: 99, create: false, subscribe: true, publicKey, signature })
  await gone
  t.equal(relay.status().packets, total)
  t.match(await sender.deposit(packetTo(key.address, 'more')), { status: STATUS.done }, 'the others go on')
  slow.ws.terminate()
})

t.test('a client that asks much and reads late gets every answer, in order', async (t) => {
  const { relay, url } = await testRelay(t)
  const client = await RawClient.open(url, relay.token)
  await client.prove(key)
  await client.publish(key.address, from('record', 4_096))
  const other = addressKey('other').address
  client.ws.pause()
  const total = 3_000
  for (let i = 0; i < total; i++) client.send({ kind: 'lookup', slot: i % 2 === 0 ? key.address : other })
  client.ws.resume()
  await client.count('record', total, 20_000)
  const lengths = client.got.flatMap((frame) => (frame.kind === 'record' ? [frame.record.length] : []))
  t.equal(lengths.length, total)
  t.ok(lengths.every((length, i) => length === (i % 2 === 0 ? 4_096 : 0)))
})

t.test('who says nothing is closed within seconds, before and after the upgrade', async (t) => {
  const { url, relay } = await testRelay(t)
  const socket = connect(relay.port, '127.0.0.1')
  const dripping = connect(relay.port, '127.0.0.1')
  for (const raw of [socket, dripping]) raw.on('error', () => undefined).resume()
  dripping.write('GET /healthz HTTP/1.1\r\nHost: x\r\n')
  const mute = await RawClient.open(url)
  const ends = [
    new Promise((resolve) => socket.on('close', resolve)),
    new Promise((resolve) => dripping.on('close', resolve)),
    mute.closed,
  ]
  await within(Promise.all(ends), { withinMs: 15_000, what: 'the end of three silent clients' })
  t.match(mute.got.at(-1), { kind: 'closing', code: CLOSING.silent })
})

t.test('strangers get a tenth of the connections, members the rest', async (t) => {
  const { relay, url } = await testRelay(t, { limits: { connections: 20 } })
  const strangers = await Promise.all([RawClient.open(url), RawClient.open(url, 'not-the-access-token')])
  t.equal(await refusal(url), 503)
  const members = await Promise.all(Array.from({ length: 18 }, () => RawClient.open(url, relay.token)))
  t.equal(await refusal(url, { authorization: `Bearer ${relay.token}` }), 503)
  await members[0]!.close()
  await until(() => relay.status().connections < 20, { withinMs: SOON_MS, what: 'a free place' })
  await RawClient.open(url, relay.token)
  for (const client of [...strangers, ...members]) await client.close()
})

t.test('a closed relay lets in whoever shows the access token', async (t) => {
  const { relay, url } = await testRelay(t, { open: false })
  t.equal(await refusal(url), 401)
  t.equal(await refusal(url, { authorization: 'Bearer wrong-wrong-wrong-wrong' }), 401)
  const client = await RawClient.open(url, relay.token)
  t.equal(await client.prove(key, { create: true }), STATUS.done)
})

t.test('only the path of the relay is a WebSocket', async (t) => {
  const { url } = await testRelay(t)
  t.equal(await refusal(url.replace('/v1', '/v2')), 404)
})

t.test('/healthz and /directory answer, everything else is refused', async (t) => {
  const { http, url, relay } = await testRelay(t)
  const owner = await RawClient.open(url)
  await owner.prove(key, { create: true })
  await owner.deposit(packetTo(key.address, 'p'))
  const record = from('record', 700)
  t.equal(await owner.publish(key.address, record), STATUS.done)
  const health = await fetch(`${http}/healthz`)
  t.equal(health.status, 200)
  t.match(await health.json(), { ok: true, version: /^\d+\.\d+/, mailboxes: 1, packets: 1, bytes: 300 })
  const slot = Buffer.from(key.address).toString('hex')
  const found = await fetch(`${http}/directory/${slot}`)
  t.equal(found.status, 200)
  t.same(new Uint8Array(await found.arrayBuffer()), record)
  const statuses = async (...paths: string[]): Promise<number[]> =>
    Promise.all(paths.map(async (path) => (await fetch(`${http}${path}`)).status))
  t.same(
    await statuses(`/directory/${'00'.repeat(16)}`, `/directory/${slot}00`, '/directory/', '/', '/v1'),
    [404, 404, 404, 404, 426],
  )
  t.equal((await fetch(`${http}/healthz`, { method: 'POST', body: 'x' })).status, 405)
  t.match(relay.status(), { ok: true, records: 1, connections: 1, open: true, tls_fingerprint: null })
})

t.test('HTTP requests are bounded per source', async (t) => {
  const { http } = await testRelay(t)
  t.same(relayConstants.HTTP_BUDGET, { burst: 20, perSecond: 5 })
  const statuses = await Promise.all(
    Array.from({ length: 60 }, async () => (await fetch(`${http}/healthz`)).status),
  )
  t.ok(statuses.filter((status) => status === 200).length >= 20, 'the burst is served')
  t.ok(statuses.includes(429), 'the rest is refused')
})

t.test('a restart keeps mailboxes, packets, records and token', async (t) => {
  const stateDir = temporaryFolder(t)
  const first = await testRelay(t, { stateDir })
  const client = await RawClient.open(first.url)
  await client.prove(key, { create: true })
  await client.publish(key.address, from('record', 50))
  await client.deposit(packetTo(key.address, 'p'))
  const live = addressKey('live')
  await client.prove(live, { create: true, subscribe: true })
  client.send({ kind: 'deposit', request: 7, packet: packetTo(live.address, 'lingers') })
  await client.next('packet')
  await first.relay.stop()
  t.match(client.got.at(-1), { kind: 'closing', code: CLOSING.shutdown })
  const second = await testRelay(t, { stateDir })
  t.match(second.relay.status(), { mailboxes: 2, packets: 2, records: 1 }, 'what lingered was written')
  t.equal(second.relay.token, first.relay.token)
})

t.test('a relay with a certificate speaks TLS and tells its fingerprint', async (t) => {
  const tls = { cert: fixture('cert.pem'), key: fixture('key.pem') }
  const { relay } = await testRelay(t, { config: { ...loadRelayConfig(), tls } })
  t.match(relay.fingerprint, /^[0-9a-f]{64}$/)
  const status = new Promise((resolve, reject) => {
    const ca = readFileSync(tls.cert)
    const options = { ca, checkServerIdentity: () => undefined }
    get(`https://127.0.0.1:${relay.port}/healthz`, options, (response) => resolve(response.statusCode)).on(
      'error',
      reject,
    )
  })
  t.equal(await within(status, { withinMs: SOON_MS, what: 'the answer' }), 200)
})

t.test('places of TLS clients are free again when they go', async (t) => {
  const defaults = loadRelayConfig()
  const config = {
    ...defaults,
    tls: { cert: fixture('cert.pem'), key: fixture('key.pem') },
    limits: { ...defaults.limits, connections: 10 },
  }
  const { relay } = await testRelay(t, { config })
  const headers = { authorization: `Bearer ${relay.token}` }
  for (let i = 0; i < 100; i++) {
    const ws = new WebSocket(`wss://127.0.0.1:${relay.port}/v1`, { headers, rejectUnauthorized: false })
    const open = new Promise((resolve, reject) => ws.on('message', resolve).on('error', reject))
    await within(open, { withinMs: SOON_MS, what: `challenge ${i}` })
    ws.terminate()
    await until(() => relay.status().connections === 0, { withinMs: SOON_MS, what: 'the end', everyMs: 1 })
  }
  t.equal(relay.status().connections, 0)
})

t.test('what cannot be started says why, and leaves nothing behind', async (t) => {
  const { relay } = await testRelay(t)
  const stateDir = temporaryFolder(t)
  const config = loadRelayConfig()
  const listen = { host: '127.0.0.1', port: relay.port }
  await t.rejects(startRelay({ stateDir, reporter: silent, config, listen }), {
    name: 'RelayError',
    code: 'FW_RELAY_LISTEN_FAILED',
  })
  const tls = { cert: fixture('key.pem'), key: fixture('cert.pem') }
  await t.rejects(startRelay({ stateDir, reporter: silent, config: { ...config, tls } }), {
    code: 'FW_RELAY_TLS_INVALID',
  })
  await t.rejects(startRelay({ stateDir, reporter: silent, config: { ...config, access_token: 'x' } }), {
    code: 'FW_RELAY_TOKEN_INVALID',
  })
  const free = { host: '127.0.0.1', port: 0 }
  const later = await startRelay({ stateDir, reporter: silent, config, listen: free })
  t.ok(later.port > 0, 'the folder is free again')
  await later.stop()
})

t.test('the log tells that the relay starts and stops, and no address, token or packet', async (t) => {
  const reporter = listener()
  const { relay, url } = await testRelay(t, { reporter })
  const client = await RawClient.open(url, relay.token)
  await client.prove(key, { create: true, subscribe: true })
  await client.deposit(packetTo(key.address, 'p'))
  client.ws.send('garbage')
  await client.closed
  await relay.stop()
  const codes = reporter.told.map(({ code }) => code)
  t.ok(codes.includes('FW_RELAY_STARTED') && codes.includes('FW_RELAY_STOPPED'))
  const text = reporter.told.map((told) => told.text).join('\n')
  for (const secret of [
    relay.token,
    Buffer.from(key.address).toString('hex'),
    Buffer.from(key.publicKey).toString('hex'),
  ]) {
    t.notMatch(text, secret)
  }
})
