import { parseRecord, PACKET_DATA, PACKET_HELLO } from '@fieldwhisper/protocol'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { seededRandom } from '../../support/seeded-random.js'
import { until } from '../../support/until.js'
import { here } from '../support/process.js'
import type { ScriptedLink } from '../support/scripted-link.js'
import { Agent, counterSource } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'

const SECONDS = 30
const RATE = 20
const TURN_MS = 20
const DATA_A_SECOND = 5_000
const HELLOS_A_SECOND = 500

const random = seededRandom(4)

/** A packet of the right form for an address, with nothing true in it. */
function forged(type: number, address: Uint8Array, bytes: number): Uint8Array {
  const packet = random(bytes)
  packet[0] = 0x10 | type
  packet[1] = 0
  packet.set(address, 2)
  return packet
}

/** Sends so many forged packets a second until `signal`; returns how many went out. */
async function flood(link: ScriptedLink, aSecond: number, make: () => Uint8Array): Promise<number> {
  const began = performance.now()
  let sent = 0
  for (let now = began; now < began + SECONDS * 1_000; now = performance.now()) {
    const due = Math.floor(((now - began) * aSecond) / 1_000)
    const packets = Array.from({ length: Math.min(due - sent, aSecond) }, make)
    if (packets.length > 0) link.send(...packets)
    sent += packets.length
    await new Promise((resolve) => setTimeout(resolve, TURN_MS))
  }
  return sent
}

void t.test(
  'a flood on a live session and on a doorbell: readings flow, the gateway answers, no link and no session is lost',
  { timeout: 180_000 },
  async (t) => {
    const site = await WireSite.start(t, { name: 'counter' })
    const honest = await site.agent('honest', 1)
    const link = await site.link()
    const record = await link.record(honest.invite.directorySlot)
    const session = honest.join(record, [honest.empty()])
    link.send(session.hello)
    await until(() => honest.read(session, link.packets) && honest.prekey !== undefined, {
      withinMs: 5_000,
      what: 'the answer',
    })
    link.packets.length = 0

    const agent = new Agent(
      here,
      'press',
      { folder: temporaryFolder(t) },
      {
        lan: { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 },
        relays: [],
        sources: [counterSource(RATE)],
      },
    )
    await agent.command('join', await site.gateway.enroll('press'))
    const program = agent.spawn('run')
    t.teardown(() => program.kill())
    await until(() => site.published.length > RATE, { withinMs: 30_000, what: 'readings before the flood' })
    const before = { ...(await site.status()), published: site.published.length }

    const doorbell = parseRecord(record).address
    const strangers = [await site.link(), await site.link()] as const
    let ended = false
    const floods = Promise.all([
      flood(strangers[0], DATA_A_SECOND, () => forged(PACKET_DATA, session.up.addressKey.address, 300)),
      flood(strangers[1], HELLOS_A_SECOND, () => forged(PACKET_HELLO, doorbell, 2_600)),
    ]).finally(() => (ended = true))
    let answers = 0
    while (!ended) {
      const { sessions } = await site.status()
      t.equal(sessions, before.sessions)
      answers++
    }
    const sent = await floods
    t.ok(
      sent[0] >= 0.9 * SECONDS * DATA_A_SECOND && sent[1] >= 0.9 * SECONDS * HELLOS_A_SECOND,
      `${sent.join(' and ')} sent`,
    )
    t.ok(answers >= 10, `the gateway's status was asked and answered ${answers} times`)
    const flowed = site.published.length - before.published
    t.ok(flowed >= 0.8 * SECONDS * RATE, `${flowed} readings of a real agent in ${SECONDS} s of flood`)
    t.notOk(link.closed, "the honest agent's link")
    t.notOk(strangers[0].closed || strangers[1].closed, 'a flood slows, and closes nothing')

    const after = await site.status()
    t.ok(after.packets['failed']! > before.packets['failed']!, 'some were tried')
    t.ok(
      after.packets['failed']! - before.packets['failed']! < 0.2 * sent[0],
      'most were dropped without being tried',
    )
    link.send(honest.seal(session, honest.reading(7)))
    await until(
      () => honest.acks(session, link.packets.splice(0)).some(({ streams }) => streams.length > 0),
      {
        withinMs: 10_000,
        what: 'the acknowledgement in the session that was flooded',
      },
    )

    await program.stop()
    t.equal(program.stderr.filter((line) => /FW_LAN|FW_RELAY/.test(line)).length, 0, "the agent's own log")
    const values = site.published.map(({ value }) => value as number)
    t.same(
      values,
      Array.from({ length: values.length }, (_, index) => index),
      'in order, each once, none missing',
    )
  },
)
