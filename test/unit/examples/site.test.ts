import { createServer } from 'node:net'
import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadAgentConfig } from '../../../agent/dist/config/load.js'
import { loadGatewayConfig } from '../../../gateway/dist/config/load.js'
import { loadRelayConfig } from '@fieldwhisper/relay'
import { mqttAccess, sensorsOf, statusLine } from '@fieldwhisper/examples/dist/start/build-view.js'
import { Configs, type PlacedPorts } from '@fieldwhisper/examples/dist/start/configs.js'
import { readMessage } from '@fieldwhisper/examples/dist/start/delivered.js'
import { foldersIn } from '@fieldwhisper/examples/dist/start/folders.js'
import { agentName } from '@fieldwhisper/examples/dist/start/join.js'
import type { AgentReport, GatewayReport } from '@fieldwhisper/examples/dist/start/statuses.js'
import { temporaryFolder } from '../../support/folder.js'

const TOKEN = 'A-token-of-16-or-more'

function ports({ ports }: PlacedPorts): Record<string, number> {
  return Object.fromEntries(ports.map(({ what, port }) => [what, port]))
}

void t.test('the configurations of a new site are valid and stay on loopback', async (t) => {
  const folders = foldersIn(temporaryFolder(t))
  const configs = new Configs(folders)
  const relayPort = ports(await configs.placeRelay())['relay'] ?? 0
  const placed = ports(await configs.placeGateway(relayPort, TOKEN))

  const relay = loadRelayConfig(folders.relayConfig)
  const gateway = loadGatewayConfig(folders.gatewayConfig)
  const agent = loadAgentConfig(folders.agentConfig)
  t.same(relay.listen, { host: '127.0.0.1', port: relayPort })
  t.same(gateway.relays, [{ url: `ws://127.0.0.1:${relayPort}`, token: TOKEN }])
  t.match(gateway.mqtt, { embedded: { host: '127.0.0.1', port: placed['MQTT broker'] } })
  t.same(gateway.lan.listen, { host: '127.0.0.1', port: placed['LAN link'] })
  t.same(agent.lan.listen, { host: '127.0.0.1', port: 0 })
  for (const { lan } of [gateway, agent]) {
    t.match(lan, { loopback: true, broadcast: false, peers: [], beacon_port: placed['LAN beacon'] })
    t.same(lan.interfaces, ['none'], 'with loopback, no interface but that one')
  }
  t.equal(statSync(folders.gatewayConfig).mode & 0o777, 0o600, 'it holds a token')
})

void t.test('what a user wrote stays, a port that is free stays, one that is taken moves', async (t) => {
  const folders = foldersIn(temporaryFolder(t))
  const first = new Configs(folders)
  const before = ports(await first.placeRelay())
  const others = ports(await first.placeGateway(before['relay'] ?? 0, TOKEN))
  const agent = readFileSync(folders.agentConfig, 'utf8')
  writeFileSync(folders.agentConfig, agent.replace('interval: 2s', 'interval: 7s # slower'))

  const same = new Configs(folders)
  t.match(await same.placeRelay(), { ports: [{ what: 'relay', port: before['relay'] }], moved: [] })
  const again = await same.placeGateway(before['relay'] ?? 0, TOKEN)
  t.same(ports(again), others)
  t.same(again.moved, [])

  const squatter = createServer().listen(before['relay'], '127.0.0.1')
  t.teardown(() => squatter.close())
  await once(squatter, 'listening')
  const second = new Configs(folders)
  const moved = await second.placeRelay()
  const port = ports(moved)['relay'] ?? 0
  t.not(port, before['relay'])
  t.same(moved.moved, [`port ${before['relay']} is taken by another program: the relay uses ${port}`])
  await second.placeGateway(port, TOKEN)
  t.equal(loadGatewayConfig(folders.gatewayConfig).relays[0]?.url, `ws://127.0.0.1:${port}`)
  t.match(readFileSync(folders.agentConfig, 'utf8'), /interval: 7s # slower/)
})

void t.test('a configuration that is no YAML is named and left as it is', (t) => {
  const folders = foldersIn(temporaryFolder(t))
  writeFileSync(folders.agentConfig, 'sources: [')
  t.throws(() => new Configs(folders), {
    message: /agent\.yaml is not usable YAML.*remove it to get a new one/s,
  })
  t.equal(readFileSync(folders.agentConfig, 'utf8'), 'sources: [')
  t.end()
})

const now = Date.parse('2026-03-01T12:00:10.000Z')
const report: AgentReport = {
  name: 'pi',

  spool: { accepted: 10, held: 2, dropped: 0 },
  paths: { lan: { links: 1 }, relays: [] },
  sealed: 5,
  acknowledgedPackets: 4,
  lost: 0,
  latest: [
    { name: 'cpu_load', unit: '/100', value: 50, agoMs: 500 },
    { name: 'uptime', unit: 's', value: 99, agoMs: 500 },
    { name: 'stuck', value: 3, agoMs: 200 },
  ],
}

void t.test('a sensor shows what MQTT has, and the newest value of its own while that waits', (t) => {
  const delivered = new Map([
    ['cpu_load', { value: 40, unit: '/100', path: 'lan' as const, madeWallMs: now - 2_000 }],
    ['stuck', { value: 1, path: 'relay' as const, madeWallMs: now - 60_000 }],
    ['retained', { value: 'x', path: 'relay' as const, madeWallMs: now - 90_000 }],
  ])
  t.same(sensorsOf(report, delivered, now), [
    { name: 'cpu_load', unit: '/100', value: 40, path: 'lan', ageMs: 2_000 },
    { name: 'retained', value: 'x', path: 'relay', ageMs: 90_000 },
    { name: 'stuck', value: 3, ageMs: 200 },
    { name: 'uptime', unit: 's', value: 99, ageMs: 500 },
  ])
  t.same(sensorsOf(undefined, new Map(), now), [])
  t.end()
})

void t.test('messages of others are not taken for readings', (t) => {
  const payload = (content: unknown): Uint8Array => Buffer.from(JSON.stringify(content))
  const good = { value: 21.5, unit: 'Cel', path: 'lan', time: '2026-03-01T12:00:00.000Z' }
  t.same(readMessage('fieldwhisper/home/pi/inlet%2Ftop', payload(good)), {
    agent: 'pi',
    name: 'inlet/top',
    delivered: { value: 21.5, unit: 'Cel', path: 'lan', madeWallMs: now - 10_000 },
  })
  t.equal(readMessage('fieldwhisper/home/pi/%', payload(good)), undefined, 'no such escape')
  for (const bad of [null, 'x', { ...good, path: 'x' }, { ...good, value: {} }, { ...good, time: 'soon' }]) {
    t.equal(readMessage('a/b/c/d', payload(bad)), undefined, JSON.stringify(bad))
  }
  t.equal(readMessage('a/b/c/d', Buffer.from('')), undefined)
  t.end()
})

void t.test('where to subscribe comes from the gateway, with the password from its file', (t) => {
  const mqtt = {
    broker: { address: 'mqtt://127.0.0.1:1884', connected: true },
    user: 'fieldwhisper',
    passwordFile: join('gateway', 'mqtt-password'),
    topics: 'fieldwhisper/home/+/+',
  }
  const gateway: GatewayReport = { healthy: true, problems: [], site: 'home', lan: null, relays: [], mqtt }
  t.same(
    mqttAccess(gateway, (file) => (file === mqtt.passwordFile ? 'secret' : undefined)),
    {
      host: '127.0.0.1',
      port: 1_884,
      user: 'fieldwhisper',
      password: 'secret',
      topic: mqtt.topics,
      connected: true,
    },
  )
  const ipv6 = { ...gateway, mqtt: { ...mqtt, broker: { address: 'mqtt://[::1]:1883', connected: false } } }
  t.match(
    mqttAccess(ipv6, () => 'x'),
    { host: '::1', port: 1_883, connected: false },
  )
  t.equal(
    mqttAccess(gateway, () => undefined),
    undefined,
    'not before there is a password',
  )
  t.equal(
    mqttAccess(undefined, () => 'x'),
    undefined,
  )
  t.end()
})

void t.test('the status line has every number of the picture', (t) => {
  const counts = { sealed: 5, acknowledged: 4, held: 2, lost: 0, lastPath: 'lan' as const }
  t.equal(
    statusLine(counts, [{ name: 'a', value: 1, ageMs: 0 }], 65_000),
    'up 1 min 5 s, 1 sensor, last copy lan, sealed 5, acknowledged 4, in the spool 2, lost 0',
  )
  t.equal(statusLine(undefined, [], 1_000), 'up 1 s, the agent does not answer yet')
  t.end()
})

void t.test('the agent is named after its host, as far as a name may go', (t) => {
  t.equal(agentName('pump-pi.local'), 'pump-pi')
  t.equal(agentName('Möhre 7+#'), 'M-hre-7--')
  t.equal(agentName(''), 'this-machine')
  t.equal(agentName('x'.repeat(100)).length, 64)
  t.end()
})
