import { Server } from 'node:net'
import { TokenBucket } from '@fieldwhisper/host'
import t from 'tap'
import { createMemoryStore } from '@fieldwhisper/host/testing'
import { STATUS } from '@fieldwhisper/mesh/relay-frames'
import { DEFAULT_LIMITS, Mailboxes, RelayServer } from '@fieldwhisper/relay'
import type { Directory } from '@fieldwhisper/relay'
import { within } from '../../support/until.js'
import { listener, RawClient, SOON_MS, testRelay } from './raw-client.js'
import { addressKey, packetTo, TABLES } from './support.js'

const key = addressKey('a')
const DAY_MS = 86_400_000

t.test('packets beyond their time are dropped and told, counted in time that the relay ran', async (t) => {
  const reporter = listener()
  let mono = 0
  let wall = 1_700_000_000_000
  const clock = {
    monoMs: () => mono + performance.now(),
    wallMs: () => wall,
    quality: () => 'unknown' as const,
    bootId: new Uint8Array(8),
  }
  const { relay, url } = await testRelay(t, { reporter, clock })
  const client = await RawClient.open(url, relay.token)
  await client.prove(key, { create: true })
  await client.deposit(packetTo(key.address, 'p'))
  wall += 3650 * DAY_MS
  relay.sweep()
  t.equal(relay.status().packets, 1, 'a clock that jumps expires nothing')
  mono += 7 * DAY_MS
  relay.sweep()
  t.equal(relay.status().packets, 0)
  t.match(
    reporter.told.filter(({ code }) => code === 'FW_RELAY_EXPIRED'),
    [{ level: 'info', text: /"packets":1,"mailboxes":0/ }],
  )
})

t.test(
  'a fault of the relay itself ends the connection it served, is told, and spares the others',
  async (t) => {
    const reporter = listener()
    const store = createMemoryStore({ tables: TABLES })
    const broken = {
      size: 0,
      lookup: () => {
        throw new Error('a bug')
      },
    } as unknown as Directory
    const server = new RelayServer({
      listen: { host: '127.0.0.1', port: 0 },
      tls: undefined,
      open: true,
      isMember: () => true,
      limits: { ...DEFAULT_LIMITS, connections: 10 },
      shared: {
        mailboxes: new Mailboxes({ store, limits: DEFAULT_LIMITS, alarm: () => undefined }, 0),
        directory: broken,
        names: () => ['127.0.0.1'],
        runningMs: () => 0,
        memberProofs: new TokenBucket({ perSecond: 100, burst: 100 }, 0),
        strangerProofs: new TokenBucket({ perSecond: 100, burst: 100 }, 0),
      },
      health: () => ({ ok: false, version: '0', mailboxes: 0, packets: 0, bytes: 0 }),
      monoMs: () => performance.now(),
      reporter,
    })
    const port = await server.start()
    t.teardown(() => server.stop())
    const url = `ws://127.0.0.1:${port}/v1`
    const other = await RawClient.open(url)
    const unlucky = await RawClient.open(url)
    unlucky.send({ kind: 'lookup', slot: key.address })
    await within(unlucky.closed, { withinMs: SOON_MS, what: 'the end of the connection' })
    t.match(reporter.told, [{ level: 'error', code: 'FW_RELAY_INTERNAL', text: /a bug/ }])
    t.equal(await other.prove(key, { create: true }), STATUS.done)
    t.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 503, 'health says what it is told')
  },
)

t.test('a connection that the system does not give is told, and the relay goes on', async (t) => {
  const reporter = listener()
  const { relay, url } = await testRelay(t, { reporter })
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles()
  const server = handles.find(
    (handle): handle is Server =>
      handle instanceof Server && (handle.address() as { port?: number } | null)?.port === relay.port,
  )
  server!.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }))
  t.match(reporter.told.at(-1), { level: 'warn', code: 'FW_RELAY_ACCEPT_FAILED', text: /EMFILE/ })
  const client = await RawClient.open(url)
  t.equal(await client.prove(key), STATUS.done)
})
