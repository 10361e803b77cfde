import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { joinAgent, layFloor, RELAY_PORT, runGateway } from '../support/floor.js'
import { createNet, noNetworks } from '../support/net.js'
import { Agent, Relay, type AgentState } from '../support/site.js'

const AGENT_NAME = 'canary-agent-7Q'
const READING_NAME = 'canary_reading_9Z'
const VALUE = 31_337.424_242
const READINGS = 40

/** The canaries as text in the usual encodings, and the value as a double in both byte orders. */
function canaries(): Buffer[] {
  const texts = [AGENT_NAME, READING_NAME, String(VALUE)]
  const big = Buffer.alloc(8)
  big.writeDoubleBE(VALUE)
  const encoded = texts.flatMap((text) => [
    Buffer.from(text),
    Buffer.from(text, 'utf16le'),
    Buffer.from(Buffer.from(text).toString('base64').slice(0, -4)),
    Buffer.from(Buffer.from(text).toString('hex')),
  ])
  return [...encoded, big, Buffer.from(big).reverse()]
}

function found(bytes: Buffer): string[] {
  return canaries().flatMap((canary) => (bytes.includes(canary) ? [canary.toString('latin1')] : []))
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
}

void t.test(
  'an observer of relay and wire learns no name and no value',
  { skip: noNetworks(), timeout: 240_000 },
  async (t) => {
    const net = createNet(t, ['lan', 'uplink'])
    const folder = temporaryFolder(t)
    const relayHost = net.host('relay', ['uplink'])
    const relay = new Relay(relayHost, { folder })
    const relayProgram = relay.spawnWith(
      { NODE_OPTIONS: `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${folder}` },
      'run',
      '--listen',
      `0.0.0.0:${RELAY_PORT}`,
    )
    await relay.untilStatus<{ ok: boolean }>(({ ok }) => ok, { withinMs: 20_000, what: 'the relay runs' })
    const token = readFileSync(join(relay.stateDir, 'access-token'), 'utf8').trim()
    const captures = { lan: join(folder, 'lan.pcap'), uplink: join(folder, 'uplink.pcap') }
    const recording = [await net.capture('lan', captures.lan), await net.capture('uplink', captures.uplink)]

    const lan = { interfaces: ['lan'] }
    const gatewayHost = net.host('gateway', ['lan', 'uplink'])
    const relays = [{ url: `ws://${relayHost.address('uplink')}:${RELAY_PORT}`, token }]
    const { gateway, subscription, folder: floor } = await layFloor(t, gatewayHost, { lan, relays })
    const gatewayProgram = await runGateway(gateway)
    const source = {
      type: 'simulate',
      rate: 10,
      count: READINGS,
      readings: [{ name: READING_NAME, waveform: 'constant', min: VALUE, max: VALUE }],
    }
    const agent = new Agent(
      net.host('pump', ['lan', 'uplink']),
      AGENT_NAME,
      { folder: floor },
      { lan, sources: [source] },
    )
    await joinAgent(gateway, agent)
    const program = agent.spawn('run')
    await until(
      () => subscription.messages.filter(({ topic }) => topic.endsWith(READING_NAME)).length >= READINGS,
      {
        withinMs: 60_000,
        what: 'the readings, in the clear at the subscriber only',
      },
    )
    await agent.untilStatus<AgentState>(({ spool }) => spool.held === 0, {
      withinMs: 30_000,
      what: 'an empty spool',
    })

    process.kill(relayProgram.pid, 'SIGUSR2')
    const snapshot = await until(() => files(folder).find((path) => path.endsWith('.heapsnapshot')), {
      withinMs: 30_000,
      what: 'a heap snapshot',
    })
    await until(() => readFileSync(snapshot).subarray(-2).toString().includes('}'), {
      withinMs: 30_000,
      what: 'the whole snapshot',
    })
    for (const one of [program, gatewayProgram, relayProgram]) await one.stop()
    for (const one of recording) t.equal((await one.stop()).lost, 0, 'everything was recorded')

    t.same(found(readFileSync(snapshot)), [], "nothing in the relay's memory")
    for (const path of files(relay.stateDir))
      t.same(found(readFileSync(path)), [], `nothing in ${path.slice(folder.length)}`)
    t.same(
      found(Buffer.from([...relayProgram.stdout, ...relayProgram.stderr].join('\n'))),
      [],
      "nothing in the relay's log",
    )
    for (const [network, path] of Object.entries(captures)) {
      t.ok(statSync(path).size > 10_000, `${network} was recorded`)
      t.same(found(readFileSync(path)), [], `nothing on ${network}`)
    }
    t.ok(
      found(Buffer.from(subscription.messages.map(({ topic, payload }) => topic + payload).join())).length >
        0,
      'the search finds what is there',
    )

    const beacons = beaconsOf(readFileSync(captures.lan))
    const senders = new Set(beacons.map(({ from }) => from))
    t.ok(senders.size >= 2, `beacons of ${senders.size} addresses`)
    t.same(new Set(beacons.map(({ bytes }) => bytes.length)), new Set([31]))
    t.equal(
      new Set(beacons.map(({ bytes }) => bytes.subarray(0, 5).toString('hex'))).size,
      1,
      'the same magic and version',
    )
    t.equal(new Set(beacons.map(({ bytes }) => bytes.readUInt16BE(13))).size, 1, 'the same port')
  },
)

/** UDP over IPv4 to the beacon port, out of a pcap file of Ethernet frames. */
function beaconsOf(pcap: Buffer): { from: string; bytes: Buffer }[] {
  const beacons: { from: string; bytes: Buffer }[] = []
  const little = pcap.readUInt32LE(0) === 0xa1b2c3d4 || pcap.readUInt32LE(0) === 0xa1b23c4d
  for (let at = 24; at + 16 <= pcap.length;) {
    const length = little ? pcap.readUInt32LE(at + 8) : pcap.readUInt32BE(at + 8)
    const frame = pcap.subarray(at + 16, at + 16 + length)
    at += 16 + length
    if (frame.length < 42 || frame.readUInt16BE(12) !== 0x0800 || frame[23] !== 17) continue
    const udp = 14 + (frame[14]! & 15) * 4
    if (frame.readUInt16BE(udp + 2) !== 24_707) continue
    beacons.push({
      from: frame.subarray(26, 30).join('.'),
      bytes: frame.subarray(udp + 8, udp + frame.readUInt16BE(udp + 4)),
    })
  }
  return beacons
}
