import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import t from 'tap'
import { GatewayLink, type LinkOptions } from '../../../node-red-nodes/dist/link.js'
import { freePort } from '../../support/ports.js'
import { read } from '../../support/repository.js'
import { until, within } from '../../support/until.js'
import { commandBroker, gatewayState, PASSWORD, startBroker, told, topics } from './support.js'

type Test = Parameters<Parameters<typeof t.test>[0]>[0]

function linkTo(t: Test, port: number, change: Partial<LinkOptions> = {}) {
  const link = new GatewayLink({
    url: `mqtt://127.0.0.1:${port}`,
    template: 'fieldwhisper/{site}/{agent}/{name}',
    user: 'fieldwhisper',
    password: PASSWORD,
    random: () => 0,
    ...change,
  })
  t.teardown(() => link.stop())
  const badges: (string | undefined)[] = []
  const leave = link.join(() => badges.push(link.badge()?.key))
  const untilBadge = (key: string | undefined) =>
    until(() => link.badge()?.key === key, {
      withinMs: 10_000,
      what: `the badge ${key ?? '(none)'}`,
      everyMs: 2,
    })
  return { link, leave, badges, untilBadge }
}

/** Takes connections and never says a word. */
async function deafServer(t: Test): Promise<{ port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.resume()
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, sockets }
}

void t.test('a link says what its gateway is like, and comes back by itself', async (t) => {
  const { broker, port, stop, clients } = await startBroker(t)
  const { link, badges, untilBadge } = linkTo(t, port)
  t.equal(link.badge()?.key, 'link.connecting')
  await untilBadge(undefined)
  t.equal(clients(), 1)
  const seen: unknown[] = []
  link.subscribe(link.topics.readings({}), (_topic, payload) => seen.push(JSON.parse(String(payload)).value))
  await broker.publish(gatewayState('offline'))
  await untilBadge('link.offline')
  await broker.publish(gatewayState('online'))
  await untilBadge(undefined)
  await stop()
  await untilBadge('link.nobody')
  t.ok(badges.includes('link.lost'))
  const again = await startBroker(t, { port })
  await untilBadge(undefined)
  await until(
    async () => {
      await again.broker.publish(told('pump-7', 'temp', 7, 1))
      return seen.includes(7)
    },
    { withinMs: 10_000, what: 'a reading by the old subscription' },
  )
})

void t.test('who does not come in is told why, and tries again', async (t) => {
  const { port, reporter } = await startBroker(t)
  const wrong = linkTo(t, port, { password: 'correct horse batterY' })
  await wrong.untilBadge('link.password')
  const refusals = () => reporter.codes().filter((code) => code === 'FW_BROKER_CLIENT_REFUSED').length
  await until(() => refusals() >= 3, { withinMs: 10_000, what: 'the third try' })
  t.notMatch(JSON.stringify(wrong.link.badge()), /horse/)

  const nobody = linkTo(t, await freePort())
  await nobody.untilBadge('link.nobody')
  t.match(nobody.link.badge(), { fill: 'red', shape: 'ring', details: { address: /^127\.0\.0\.1:\d+$/ } })

  const name = linkTo(t, 1, { url: 'mqtt://no-such-host.invalid:1883' })
  await until(() => name.link.badge()?.key !== 'link.connecting', { withinMs: 20_000, what: 'an answer' })
  t.match(name.link.badge()?.key, /^link\.(name|nobody)$/)

  const tls = linkTo(t, port, { url: `mqtts://127.0.0.1:${port}`, tls: { key: 'no key', cert: 'none' } })
  await tls.untilBadge('link.tls')
})

void t.test(
  'over TLS what is wrong with a certificate is named, unless checking it is switched off',
  async (t) => {
    const [cert, key] = ['cert', 'key'].map((name) => read(`test/unit/relay/fixtures/${name}.pem`))
    const { port } = await commandBroker(t, () => undefined, { cert: cert!, key: key! })
    const over = (tls: object) => linkTo(t, port, { url: `mqtts://127.0.0.1:${port}`, tls: { ...tls } })
    await over({ rejectUnauthorized: false }).untilBadge(undefined)
    await over({ ca: cert }).untilBadge('link.certificate-name')
    await over({}).untilBadge('link.certificate-unknown')
    const plain = linkTo(t, port)
    await until(() => /^link\.(closed|silent)$/.test(plain.link.badge()?.key ?? ''), {
      withinMs: 15_000,
      what: 'an end without an answer',
    })
    t.equal(plain.link.badge()?.fill, 'red')
  },
)

void t.test('a link that is stopped leaves nothing behind, whatever it was doing', async (t) => {
  const { port, clients } = await startBroker(t)
  const connected = linkTo(t, port)
  await connected.untilBadge(undefined)
  const from = performance.now()
  await connected.link.stop()
  await until(() => clients() === 0, { withinMs: 1_000, what: 'no client', everyMs: 2 })

  const deaf = await deafServer(t)
  const connecting = linkTo(t, deaf.port)
  await until(() => deaf.sockets.size === 1, { withinMs: 5_000, what: 'the dial', everyMs: 2 })
  await connecting.link.stop()
  await until(() => deaf.sockets.size === 0, { withinMs: 1_000, what: 'no socket', everyMs: 2 })

  const waiting = linkTo(t, await freePort())
  await waiting.untilBadge('link.nobody')
  await waiting.link.stop()
  t.ok(performance.now() - from < 5_000)
  const early = linkTo(t, port)
  await early.link.stop()
  early.link.join(() => undefined)
  await early.link.stop()
  t.equal(clients(), 0, 'a stopped link does not begin again')
})

void t.test('a server that answers with something else is named', { timeout: 60_000 }, async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { untilBadge } = linkTo(t, (server.address() as AddressInfo).port)
  await untilBadge('link.closed')
})

void t.test('what the broker refuses to show is known', async (t) => {
  const { broker, port } = await commandBroker(t, () => undefined)
  broker.authorizeSubscribe = (_client, subscription, done) =>
    done(null, subscription.topic.includes('$agents') ? null : subscription)
  const { link, untilBadge } = linkTo(t, port)
  const replies = link.topics.replies()
  link.expectReplies()
  link.subscribe(link.topics.readings({}), () => undefined)
  await untilBadge(undefined)
  await until(() => !link.allowed(replies), { withinMs: 5_000, what: 'the refusal', everyMs: 2 })
  t.ok(link.allowed(link.topics.readings({ agent: 'pump-7' })))
})

void t.test('a command goes to the only site that is heard of, or to the one that is named', async (t) => {
  const { port, publish, requests } = await commandBroker(t, () => ({ status: 'done' }))
  const { link, untilBadge } = linkTo(t, port)
  const signal = new AbortController().signal
  const ping = () => link.command('pump-7', { command: 'ping', ttlMs: 5_000, signal })
  await t.rejects(ping(), { code: 'FW_NODERED_NOT_CONNECTED' })
  link.expectReplies()
  await untilBadge(undefined)
  await until(
    () =>
      ping().then(
        ({ status }) => status === 'done',
        ({ code }: { code: string }) => code !== 'FW_NODERED_SITE_UNKNOWN',
      ),
    { withinMs: 5_000, what: 'the site' },
  )
  t.match(requests.at(-1), { agent: 'pump-7', command: 'ping', ttl: '5000ms' })
  publish('fieldwhisper/yard/$gateway', { state: 'online' }, true)
  await until(
    () =>
      ping().then(
        () => false,
        ({ code, key }) => code === 'FW_NODERED_SITE_UNKNOWN' && key === 'error.many-sites',
      ),
    { withinMs: 5_000, what: 'two sites' },
  )
  const named = linkTo(t, port, { site: 'hall' })
  named.link.expectReplies()
  await named.untilBadge(undefined)
  t.match(await named.link.command('pump-7', { command: 'ping', ttlMs: 5_000, signal }), { status: 'done' })
  t.equal(topics.gateway, named.link.topics.gateway('hall'))
})

void t.test(
  'a broken connection ends what waits for an answer, and a link that stops does too',
  async (t) => {
    const { port, cut, requests } = await commandBroker(t, () => undefined)
    const { link, untilBadge } = linkTo(t, port, { site: 'hall' })
    link.expectReplies()
    const signal = new AbortController().signal
    const open = async () => {
      await untilBadge(undefined)
      const count = requests.length
      const answer = link.command('pump-7', { command: 'ping', ttlMs: 60_000, signal })
      answer.catch(() => undefined)
      await until(() => requests.length > count, { withinMs: 5_000, what: 'the request', everyMs: 2 })
      return { answer }
    }
    const lost = await open()
    cut()
    await t.rejects(within(lost.answer, { withinMs: 5_000, what: 'the end' }), {
      code: 'FW_NODERED_CONNECTION_LOST',
    })
    const last = await open()
    await link.stop()
    await t.rejects(within(last.answer, { withinMs: 5_000, what: 'the end' }), {
      code: 'FW_NODERED_CONNECTION_LOST',
    })
    t.equal(link.openCommands, 0)
  },
)
