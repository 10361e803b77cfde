import { createServer } from 'node:https'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createRelayClient } from '@fieldwhisper/mesh'
import type { RelayClient, RelayClientOptions } from '@fieldwhisper/mesh'
import { STATUS } from '@fieldwhisper/mesh/relay-frames'
import { packetHash } from '@fieldwhisper/protocol/packet'
import { loadRelayConfig } from '@fieldwhisper/relay'
import { cli, here } from '../../system/support/process.js'
import { temporaryFolder } from '../../support/folder.js'
import { until, within } from '../../support/until.js'
import { SOON_MS, testRelay } from './raw-client.js'
import { addressKey, packetTo } from './support.js'

const key = addressKey('a')
const fixture = (name: string): string => new URL(`fixtures/${name}`, import.meta.url).pathname
const certificate = { cert: fixture('cert.pem'), key: fixture('key.pem') }
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

interface Seen {
  readonly client: RelayClient
  readonly codes: string[]
  readonly packets: Uint8Array[]
  readonly proved: number[]
}

function clientOf(
  t: { teardown(handler: () => Promise<void>): void },
  url: string,
  options: Partial<RelayClientOptions> = {},
): Seen {
  const seen: Seen = {
    codes: [],
    packets: [],
    proved: [],
    client: createRelayClient({
      url,
      random: () => 0.1,
      reporter: { event: (_level, code) => void seen.codes.push(code) },
      onPacket: (packet) => void seen.packets.push(Uint8Array.from(packet)),
      onProved: (_address, status) => void seen.proved.push(status),
      ...options,
    }),
  }
  t.teardown(() => seen.client.stop())
  return seen
}

const told = (seen: Seen, code: string): Promise<unknown> =>
  until(() => seen.codes.includes(code), { withinMs: SOON_MS, what: code })

t.test('two clients pass packets through a relay, live and stored', async (t) => {
  const { relay, url } = await testRelay(t)
  const reader = clientOf(t, url, { token: relay.token })
  const sender = clientOf(t, url, { token: relay.token })
  reader.client.prove(key, { create: true, subscribe: true })
  for (const { client } of [reader, sender]) client.start()
  await until(() => reader.proved.length === 1 && sender.client.connected, {
    withinMs: SOON_MS,
    what: 'both',
  })
  const packets = Array.from({ length: 500 }, (_, i) => packetTo(key.address, `p${i}`))
  const answers = packets.map((packet) => sender.client.deposit(packet))
  await until(() => reader.packets.length >= 256, { withinMs: SOON_MS, what: 'as many as the credit' })
  t.same(reader.packets.length, 256)
  reader.client.deleteFrom(key.address, packets.map(packetHash))
  for (const { status } of await Promise.all(answers)) t.equal(status, 'stored')
  t.same(reader.packets.slice(0, 256).map(hexOf), packets.slice(0, 256).map(hexOf))
  await until(() => relay.status().packets === 0, { withinMs: SOON_MS, what: 'an empty mailbox' })
  t.same(reader.codes, ['FW_RELAY_CONNECTED'])
})

t.test('many thousand mailboxes are proven after a connect', async (t) => {
  const { relay, url } = await testRelay(t)
  const seen = clientOf(t, url, { token: relay.token })
  const total = 3_000
  for (let i = 0; i < total; i++) seen.client.prove(addressKey(`n${i}`), { create: true, subscribe: true })
  seen.client.start()
  await until(() => seen.proved.length === total, { withinMs: 60_000, what: `${total} proofs` })
  t.ok(seen.proved.every((status) => status === STATUS.done))
  t.equal(relay.status().mailboxes, total)
})

t.test('a proof for a name that the relay does not go by is refused and said', async (t) => {
  const { url } = await testRelay(t, { config: { ...loadRelayConfig(), names: ['relay.example'] } })
  const seen = clientOf(t, url)
  seen.client.prove(key, { create: true, subscribe: true })
  seen.client.start()
  await told(seen, 'FW_RELAY_PROOF_INVALID')
  t.same(seen.proved, [STATUS.proofInvalid])
})

t.test(
  'a wrong access token is told: by an open relay as a warning, by a closed one as an error',
  async (t) => {
    const open = await testRelay(t)
    const stranger = clientOf(t, open.url, { token: 'a-token-of-another-relay' })
    stranger.client.start()
    await told(stranger, 'FW_RELAY_TOKEN_UNKNOWN')
    t.ok(stranger.client.connected)
    const closed = await testRelay(t, { open: false })
    const refused = clientOf(t, closed.url, { token: 'a-token-of-another-relay' })
    refused.client.start()
    await told(refused, 'FW_RELAY_TOKEN_REFUSED')
    t.notOk(refused.client.connected)
  },
)

t.test('a pinned certificate is the one that is accepted', async (t) => {
  const { relay } = await testRelay(t, { config: { ...loadRelayConfig(), tls: certificate } })
  const url = `wss://127.0.0.1:${relay.port}`
  const pinned = clientOf(t, url, { fingerprint: relay.fingerprint, token: relay.token })
  pinned.client.prove(key, { create: true, subscribe: true })
  pinned.client.start()
  await until(() => pinned.proved.length === 1, { withinMs: SOON_MS, what: 'the proof over TLS' })
  t.equal((await pinned.client.deposit(packetTo(key.address, 'p'))).status, 'stored')
  t.same(pinned.codes, ['FW_RELAY_CONNECTED'])
})

t.test('another certificate is refused before the access token is shown', async (t) => {
  let requests = 0
  const tls = { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) }
  const impostor = createServer(tls, () => requests++)
  impostor.on('upgrade', () => requests++)
  impostor.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise<void>((resolve) => impostor.close(() => resolve())))
  const url = `wss://127.0.0.1:${(impostor.address() as AddressInfo).port}`
  const wrong = clientOf(t, url, { fingerprint: 'ab'.repeat(32), token: 'secret-secret-secret' })
  const unpinned = clientOf(t, url, { token: 'secret-secret-secret' })
  for (const seen of [wrong, unpinned]) {
    seen.client.start()
    await told(seen, 'FW_RELAY_CERTIFICATE_WRONG')
    await seen.client.stop()
  }
  t.equal(requests, 0)
})

t.test(
  'what a relay called stored survives its SIGKILL at any moment, and its clients come back by themselves',
  async (t) => {
    const state = temporaryFolder(t)
    const [node, script] = cli('relay')
    let port = 0
    const start = async (): Promise<ReturnType<typeof here.spawn>> => {
      const program = here.spawn(node, [script, 'run', '--state', state, '--listen', `127.0.0.1:${port}`])
      t.teardown(() => program.kill())
      const line = await program.line(/FW_RELAY_STARTED/, 20_000)
      port = Number(/listen=127\.0\.0\.1:(\d+)/.exec(line)![1])
      return program
    }
    let program = await start()
    const url = `ws://127.0.0.1:${port}`
    const live = addressKey('live')
    const sender = clientOf(t, url)
    const owner = clientOf(t, url)
    // One mailbox is read all the time, its packets are never deleted; the other waits.
    owner.client.prove(live, { create: true, subscribe: true })
    owner.client.prove(key, { create: true, subscribe: false })
    for (const { client } of [owner, sender]) client.start()
    await until(() => owner.proved.length === 2, { withinMs: SOON_MS, what: 'two mailboxes' })

    const stored = new Set<string>()
    let next = 0
    for (let round = 0; round < 4; round++) {
      const answers: Promise<void>[] = []
      for (let burst = 0; stored.size < (round + 1) * 70 && burst < 100; burst++) {
        for (let i = 0; i < 10; i++) {
          const packet = packetTo(i % 2 === 0 ? key.address : live.address, `p${next++}`)
          const deposit = sender.client.deposit(packet)
          answers.push(deposit.then(({ status }) => void (status === 'stored' && stored.add(hexOf(packet)))))
        }
        await answers[burst * 10]
      }
      await program.kill()
      await within(Promise.all(answers), { withinMs: SOON_MS, what: 'the answers of the round' })
      program = await start()
      await until(() => owner.client.connected && sender.client.connected, {
        withinMs: 20_000,
        what: 'both to be back',
      })
    }
    t.ok(stored.size > 100, `${stored.size} of ${next} were called stored`)

    const got = new Set<string>()
    const last = clientOf(t, url, {
      onPacket: (packet) => {
        got.add(hexOf(packet))
        last.client.deleteFrom(packet.slice(2, 18), [packetHash(packet)])
      },
    })
    await owner.client.stop()
    for (const each of [key, live]) last.client.prove(each, { create: false, subscribe: true })
    last.client.start()
    await until(() => [...stored].every((packet) => got.has(packet)), {
      withinMs: 20_000,
      what: 'every stored packet',
    })
    t.pass(`all ${stored.size} are there`)

    const status = await here.run(node, [script, 'status', '--state', state, '--json'])
    t.equal(status.code, 0)
    t.match(JSON.parse(status.stdout), { ok: true, mailboxes: 2 })
    const ended = await program.stop()
    t.equal(ended.code, 0, 'SIGTERM ends it cleanly')
    t.same(program.survivors(), [])
    const gone = await here.run(node, [script, 'status', '--state', state, '--json'])
    t.same([gone.code, JSON.parse(gone.stdout)], [1, { ok: false, running: false }])
    const usage = await here.run(node, [script, 'run', '--listen', 'nonsense'])
    t.equal(usage.code, 2)
  },
)
