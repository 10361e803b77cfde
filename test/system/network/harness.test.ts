import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { longestSilenceMs, repeated, startMosquitto, subscribe } from '../support/mosquitto.js'
import { createNet, type Host, noNetworks } from '../support/net.js'
import { livingChildren } from '../support/proc.js'
import { here } from '../support/process.js'

const PORT = 4000

/** Answers 'up' to whoever connects. */
const server = `
  const server = require('node:net').createServer((socket) => { socket.on('error', () => {}); socket.end('up') })
  server.listen(${PORT}, '::', () => console.log('listening'))
`
/** Prints what the other side says, or the error code after 700 ms at most. */
const client = (address: string): string => `
  const socket = require('node:net').connect({ host: '${address}', port: ${PORT} })
  socket.setTimeout(700, () => { console.log('TIMEOUT'); process.exit(1) })
  socket.on('error', (error) => { console.log(error.code); process.exit(1) })
  socket.on('data', (data) => { console.log(String(data)); process.exit(0) })
`
const reaches = async (from: Host, address: string): Promise<boolean> => {
  const done = await from.run(process.execPath, ['-e', client(address)])
  return done.code === 0 && done.stdout.trim() === 'up'
}

void t.test(
  'hosts of a private network reach each other over the cables they share',
  { skip: noNetworks() },
  async (t) => {
    const net = createNet(t, ['lan', 'uplink'])
    const pump = net.host('pump', ['lan', 'uplink'])
    const gateway = net.host('gateway', ['lan', 'uplink'])
    const relay = net.host('relay', ['uplink'])
    const listening = gateway.spawn(process.execPath, ['-e', server])
    await listening.line(/listening/, 10_000)

    t.equal(gateway.address('lan'), '10.77.1.2')
    t.ok(await reaches(pump, gateway.address('lan')), 'IPv4 on lan')
    t.ok(await reaches(pump, gateway.address('uplink')), 'IPv4 on uplink')
    t.ok(await reaches(pump, `${gateway.linkLocal('lan')}%lan`), 'IPv6 link-local, at once after creation')
    t.ok(await reaches(gateway, '127.0.0.1'), 'loopback is up')
    t.notOk(
      await reaches(relay, gateway.address('lan')),
      'a host without a cable into lan does not reach lan',
    )
    t.ok(await reaches(relay, gateway.address('uplink')))

    await t.test('an unplugged cable is silence, a plugged one is back', async (t) => {
      gateway.unplug('lan')
      t.notOk(await reaches(pump, gateway.address('lan')))
      t.ok(await reaches(pump, gateway.address('uplink')), 'the other cable is untouched')
      const link = await gateway.run('ip', ['-4', '-o', 'addr', 'show', 'dev', 'lan'])
      t.match(link.stdout, '10.77.1.2', 'the address stays, as on a real host')
      gateway.plug('lan')
      t.ok(await reaches(pump, gateway.address('lan')))
      t.ok(await reaches(pump, `${gateway.linkLocal('lan')}%lan`), 'the link-local address is back too')
    })

    await t.test('blocked hosts are apart in both families until unblocked', async (t) => {
      pump.block(gateway, 'lan')
      t.notOk(await reaches(pump, gateway.address('lan')))
      t.notOk(await reaches(pump, `${gateway.linkLocal('lan')}%lan`))
      t.ok(await reaches(pump, gateway.address('uplink')))
      pump.unblock()
      t.ok(await reaches(pump, gateway.address('lan')))
      gateway.drop(['INPUT', '-p', 'tcp', '--dport', String(PORT)])
      t.notOk(await reaches(pump, gateway.address('lan')))
      gateway.unblock()
    })

    await t.test('a capture holds the traffic of its network', async (t) => {
      const file = join(temporaryFolder(t), 'uplink.pcap')
      const capture = await net.capture('uplink', file)
      t.ok(await reaches(relay, gateway.address('uplink')))
      const { captured, lost } = await capture.stop()
      t.ok(captured >= 5, `a connection is at least five packets, ${captured} captured`)
      t.equal(lost, 0)
      t.ok(statSync(file).size > 0)
    })

    await t.test('a process in a namespace dies by its pid, and nothing of it is left', async (t) => {
      const pid = listening.pid
      t.match(net.running().join('\n'), String(pid))
      await listening.kill()
      t.notOk(existsSync(`/proc/${pid}`))
      t.same(listening.survivors(), [])
      t.same(net.running(), [])
    })

    net.close()
    const left = await here.run('ip', ['netns', 'list'])
    t.notMatch(left.stdout, new RegExp(`fw${process.pid}-`), 'no namespace is left')
    t.same(livingChildren(), [])
  },
)

void t.test('multicast and broadcast cross the bridge', { skip: noNetworks() }, async (t) => {
  const net = createNet(t, ['lan'])
  const [a, b] = [net.host('a', ['lan']), net.host('b', ['lan'])]
  const hear = `
    const dgram = require('node:dgram')
    const v4 = dgram.createSocket({ type: 'udp4', reuseAddr: true })
    v4.on('message', (m) => console.log('v4', String(m)))
    v4.bind(${PORT}, () => { v4.addMembership('239.255.70.87', '${b.address('lan')}') 
      const v6 = dgram.createSocket({ type: 'udp6', reuseAddr: true, ipv6Only: true })
      v6.on('message', (m) => console.log('v6', String(m)))
      v6.bind(${PORT}, () => { v6.addMembership('ff02::4657:1', '::%lan'); console.log('ready') }) })
  `
  const say = `
    const dgram = require('node:dgram')
    const v4 = dgram.createSocket('udp4')
    v4.bind(() => { v4.setMulticastInterface('${a.address('lan')}'); v4.setBroadcast(true)
      v4.send('multicast', ${PORT}, '239.255.70.87', () => v4.send('broadcast', ${PORT}, '10.77.1.255', () => v4.close())) })
    const v6 = dgram.createSocket('udp6')
    v6.bind(() => { v6.setMulticastInterface('::%lan'); v6.send('multicast', ${PORT}, 'ff02::4657:1', () => v6.close()) })
  `
  const hearing = b.spawn(process.execPath, ['-e', hear])
  await hearing.line(/ready/, 10_000)
  t.equal((await a.run(process.execPath, ['-e', say])).code, 0)
  for (const line of ['v4 multicast', 'v4 broadcast', 'v6 multicast']) {
    t.equal(await hearing.line(new RegExp(line), 5_000), line)
  }
  await hearing.kill()
})

void t.test('mosquitto_sub judges what a private broker delivers', { skip: noNetworks() }, async (t) => {
  const net = createNet(t, ['lan'])
  const host = net.host('gateway', ['lan'])
  const broker = await startMosquitto(host, {
    folder: temporaryFolder(t),
    port: 1883,
    user: 'reader',
    password: 'secret',
  })
  const login = { port: 1883, user: 'reader', password: 'secret' }
  const heard = await subscribe(host, { ...login, topic: 'fieldwhisper/#' })
  const before = Date.now()
  const publish = (args: string[]): Promise<unknown> =>
    host.run('mosquitto_pub', ['-p', '1883', '-u', 'reader', '-P', 'secret', '-q', '1', ...args])
  await publish(['-t', 'fieldwhisper/site/pump/temperature', '-m', '{"value":21.5,\t"id":"a"}'])
  await publish(['-t', 'fieldwhisper/site/pump/temperature', '-m', '{"value":21.5}'])
  await heard.until((messages) => messages.length === 2, { withinMs: 5_000, what: 'two messages' })
  t.match(heard.messages, [
    { topic: 'fieldwhisper/site/pump/temperature', payload: '{"value":21.5,\t"id":"a"}', retained: false },
    { payload: '{"value":21.5}' },
  ])
  t.ok(
    heard.messages.every((m) => m.atMs >= before - 1 && m.atMs <= Date.now() + 1),
    'with the time of arrival',
  )

  const stranger = await host.run('mosquitto_pub', ['-p', '1883', '-t', 'x', '-m', 'x'])
  t.not(stranger.code, 0, 'without the password nobody publishes')
  await Promise.all([heard.program.kill(), broker.kill()])
  t.same(net.running(), [])
})

void t.test('silence is measured to both ends of a phase, and repeats are named once', (t) => {
  const at = (...times: number[]): { atMs: number; topic: string; payload: string; retained: boolean }[] =>
    times.map((atMs) => ({ atMs, topic: '', payload: String(atMs), retained: false }))
  t.equal(longestSilenceMs(at(100, 200, 450), 0, 500), 250)
  t.equal(longestSilenceMs(at(100), 0, 1_000), 900)
  t.equal(longestSilenceMs(at(), 0, 1_000), 1_000)
  t.same(
    repeated(at(1, 2, 2, 2, 3), (m) => m.payload),
    ['2'],
  )
  t.end()
})
