import { addressKeyFromSeed, encodeInvite } from '@fieldwhisper/protocol'
import t from 'tap'
import { ScriptedAgent } from '../../support/scripted-agent.js'
import { until } from '../../support/until.js'
import { WireSite } from '../support/wire-site.js'

/** What a stranger, a thief and a revoked device get from a running gateway and relay: nothing, or a sealed answer. */
void t.test('refused by the running programs, and without effect', { timeout: 180_000 }, async (t) => {
  const site = await WireSite.start(t)
  const agent = await site.agent('honest', 1)
  const link = await site.link()
  const record = await link.record(agent.invite.directorySlot)
  const session = agent.join(record, [agent.reading(1)])
  link.send(session.hello)
  await site.values(1)
  await until(() => agent.read(session, link.packets) && agent.prekey !== undefined, {
    withinMs: 5_000,
    what: 'the answer',
  })

  /** Sends it on a link of its own, and returns what the gateway's counters say then. */
  async function offer(counter: string, ...packets: readonly Uint8Array[]): Promise<void> {
    const before = await site.status()
    const stranger = await site.link()
    stranger.send(...packets)
    await until(
      async () => (await site.status()).packets[counter]! >= before.packets[counter]! + packets.length,
      {
        withinMs: 5_000,
        what: `${packets.length} packets counted as ${counter}`,
      },
    )
    await stranger.close()
  }

  async function unchanged(
    t: { equal: (found: unknown, wanted: unknown, message: string) => unknown },
    what: () => Promise<void>,
  ): Promise<void> {
    const before = await site.status()
    await what()
    const after = await site.status()
    t.equal(after.sessions, before.sessions, 'no session')
    t.equal(site.published.length, 1, 'nothing published')
  }

  await t.test('a replayed hello', (t) => unchanged(t, () => offer('hellos', session.hello)))

  await t.test('a replayed packet counts as a second copy', async (t) => {
    const packet = agent.seal(session, agent.empty({ ready: true }))
    link.send(packet)
    await unchanged(t, () => offer('duplicate', packet, packet))
  })

  await t.test('a packet with one bit changed', async (t) => {
    const packet = new Uint8Array(agent.seal(session, agent.reading(99)))
    packet[60]! ^= 1
    await unchanged(t, () => offer('failed', packet))
  })

  await t.test('a hello with a wrong knock', async (t) => {
    const hello = new Uint8Array((await site.agent('other', 2)).join(record).hello)
    hello[hello.length - 1]! ^= 1
    await unchanged(t, () => offer('hellos', hello))
  })

  await t.test('a packet for nobody, and one of an unknown version', async (t) => {
    const packet = new Uint8Array(300)
    packet[0] = 0x12
    await unchanged(t, () => offer('unknown', packet))
    packet[0] = 0x22
    await unchanged(t, () => offer('malformed', packet))
  })

  await t.test('a frame that is too long or empty closes its own link and no other', async (t) => {
    for (const bytes of [Uint8Array.of(0xff, 0xff, 1), Uint8Array.of(0, 0), Uint8Array.of(0, 2, 1, 0)]) {
      const stranger = await site.link()
      stranger.writeRaw(bytes)
      await until(() => stranger.closed, { withinMs: 5_000, what: 'the link is closed' })
    }
    t.notOk(link.closed)
  })

  await t.test('a used invite in the hands of a thief: told so, sealed', async (t) => {
    const thief = new ScriptedAgent(encodeInvite(agent.invite), 3)
    const stolen = thief.join(record)
    const stranger = await site.link()
    stranger.send(stolen.hello)
    const answer = await until(() => thief.read(stolen, stranger.packets)[0], {
      withinMs: 5_000,
      what: 'the refusal',
    })
    t.match(answer, { kind: 'refused', code: 'invite-used' })
  })

  await t.test('a deposit to a mailbox that is not there, and a mailbox of somebody else', async (t) => {
    const { client } = await site.relay()
    const packet = new Uint8Array(300)
    packet[0] = 0x12
    t.match(await client.deposit(packet), { status: 'refused' })
    const foreign = {
      ...addressKeyFromSeed(new Uint8Array(32).fill(7)),
      address: session.up.addressKey.address,
    }
    const result = await client.remove(foreign)
    t.not(result.status, 'done')
  })

  await t.test('a revoked agent: told so, sealed, and its old session is gone', async (t) => {
    await site.gateway.command('revoke', 'honest')
    const packet = agent.seal(session, agent.reading(100))
    await unchanged(t, () => offer('unknown', packet))
    const back = agent.lost(record)
    link.send(back.hello)
    const answer = await until(() => agent.read(back, link.packets)[0], {
      withinMs: 5_000,
      what: 'the refusal',
    })
    t.match(answer, { kind: 'refused', code: 'revoked' })
  })

  t.same(
    site.program.stderr.filter((line) => /\b(honest's|fw1-)/.test(line)),
    [],
    'no secret in the log',
  )
})
