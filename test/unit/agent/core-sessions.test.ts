import { hex, packetHash, parseHeader } from '@fieldwhisper/protocol'
import t from 'tap'
import { HOUR, joinedRig, MINUTE, startRig } from './core-rig.js'

void t.test(
  'a restart continues the session on its successor and sends at once what the spool still has',
  async (t) => {
    const rig = await joinedRig()
    rig.up = false
    await rig.read(3)
    await rig.restart()
    t.equal(rig.sent.at(-1)?.kind, 'hello')
    rig.up = true
    await rig.turn(3_000)
    t.same(rig.gateway.hellos, ['join', 'continue', 'continue'])
    t.same(rig.gateway.values(), [0, 1, 2])
    const [, second, third] = rig.gateway.sessions
    t.equal(third!.continuity, hex(second!.secrets.id))
    t.match(rig.core.status(rig.now), { session: { kind: 'continue', answered: true, ready: true } })
  },
)

void t.test(
  '17 restarts without an answer all knock at the same successor, and the last is answered',
  async (t) => {
    const rig = await joinedRig()
    rig.up = false
    const mailboxes = new Set<string>()
    for (let i = 0; i < 17; i++) {
      await rig.restart()
      const hello = rig.sent.at(-1)!
      t.equal(hello.kind, 'hello')
      mailboxes.add(hello.mailbox)
      await rig.turn(1_000)
    }
    t.equal(mailboxes.size, 1)
    rig.up = true
    await rig.read(2)
    await rig.turn(2_000)
    t.same(rig.gateway.hellos, ['join', 'continue', 'continue'])
    t.same(rig.gateway.values(), [0, 1])
    t.equal(rig.core.status(rig.now).session?.ready, true)
  },
)

void t.test(
  'mailboxes of tries that nobody answered are removed at the next start, the upper one of an answered session is not',
  async (t) => {
    const rig = await joinedRig()
    const answered = [...rig.session.mailboxes]
    rig.up = false
    await rig.restart()
    rig.removed.length = 0
    await rig.restart()
    t.ok(rig.removed.length >= 2, 'both of the try')
    t.equal(answered.length, 1)
    t.equal(new Set(rig.removed).size, rig.removed.length, 'each once')
    t.equal(rig.session.mailboxes.length, 1, 'what every relay removed is forgotten')
  },
)

void t.test(
  'a planned rekey after an hour: the old session goes on until the new one is answered',
  async (t) => {
    const rig = await joinedRig()
    const [, second] = rig.gateway.sessions
    await rig.turn(HOUR - 10 * MINUTE, 5_000)
    t.equal(rig.gateway.hellos.length, 2)
    rig.down = false
    rig.gateway.mute = true
    await rig.turn(10 * MINUTE, 5_000)
    await rig.read(1)
    t.ok(
      second!.said.some((message) => message.kind === 'data' && message.batch),
      'sealed in the old one',
    )
    rig.gateway.mute = false
    rig.down = true
    await rig.turn(5_000)
    t.same(rig.gateway.hellos, ['join', 'continue', 'continue'])
    await rig.read(1)
    const third = rig.gateway.sessions.at(-1)!
    t.ok(
      third.said.some((message) => message.kind === 'data' && message.batch),
      'sealed in the new one',
    )
    t.equal(third.confirmed, true)
    t.same(rig.gateway.values(), [0, 1])
  },
)

void t.test(
  'what the old session still had outstanding 60 s after the rekey is sealed anew, once',
  async (t) => {
    const rig = await joinedRig()
    await rig.turn(HOUR - 20_000, 5_000)
    // The old session's packets get lost; its successor gets through.
    rig.up = false
    await rig.read(2)
    const lost = [...rig.outstanding.values()].filter(({ kind }) => kind === 'data')
    t.ok(lost.length > 0)
    rig.gateway.sessions.at(-1)!.ended = true
    await rig.turn(20_000)
    rig.up = true
    await rig.turn(30_000)
    t.same(rig.gateway.hellos.length, 3)
    t.same(rig.gateway.values(), [], 'not before 60 s')
    await rig.turn(40_000)
    t.same(rig.gateway.values(), [0, 1])
    for (const { id } of lost) t.notOk(rig.outstanding.has(id))
  },
)

void t.test(
  'silence: one probe after 15 min, the doorbell after 60, then every 6 h, and the first answer wins',
  async (t) => {
    const rig = await joinedRig()
    rig.up = false
    await rig.read(1)
    const hellos = (): number => rig.sent.filter(({ kind }) => kind === 'hello').length
    const before = hellos()
    await rig.turn(14 * MINUTE, 5_000)
    t.equal(hellos(), before)
    await rig.turn(2 * MINUTE, 5_000)
    t.equal(hellos(), before + 1)
    await rig.turn(40 * MINUTE, 5_000)
    t.equal(hellos(), before + 1)
    await rig.turn(5 * MINUTE, 5_000)
    t.equal(hellos(), before + 2)
    t.equal(
      rig.sent.findLast(({ kind }) => kind === 'hello')!.proves,
      false,
      "the doorbell is not the agent's to make",
    )
    await rig.turn(4 * HOUR, 60_000)
    t.equal(hellos(), before + 2)
    await rig.turn(4 * HOUR, 60_000)
    t.equal(hellos(), before + 3)
    t.ok(rig.events.includes('FW_AGENT_GATEWAY_SILENT'))
    rig.up = true
    await rig.turn(2 * MINUTE, 1_000)
    t.same(rig.gateway.values(), [0])
    t.match(rig.core.status(rig.now), { tries: 0, session: { ready: true } })
  },
)

void t.test('the clock of silence runs on across restarts', async (t) => {
  const rig = await joinedRig()
  rig.up = false
  await rig.read(1)
  for (let i = 0; i < 4; i++) {
    await rig.turn(16 * MINUTE, 5_000)
    await rig.restart()
  }
  const kinds = rig.sent.filter(({ kind }) => kind === 'hello').map(({ proves }) => proves)
  t.ok(kinds.slice(2).includes(false), 'the doorbell was tried')
})

void t.test(
  'a restored gateway has a newer record: after 5 min the agent comes back by the doorbell with all it holds',
  async (t) => {
    const rig = await joinedRig()
    rig.gateway.restore()
    await rig.read(2)
    await rig.turn(3 * MINUTE, 1_000)
    rig.record()
    await rig.turn(3 * MINUTE, 1_000)
    t.same(rig.gateway.hellos, ['join', 'continue', 'lost', 'continue'])
    t.same(rig.gateway.values(), [0, 1])
    t.match(rig.core.status(rig.now), { session: { kind: 'continue', ready: true } })
  },
)

void t.test('an agent that lost its session file comes back with K alone', async (t) => {
  const rig = await joinedRig()
  rig.session = { mailboxes: [], silence: { silentMs: 0, nextMs: 0, step: 'none' } }
  await rig.restart()
  await rig.read(2)
  await rig.turn(2_000)
  t.same(rig.gateway.hellos, ['join', 'continue', 'lost', 'continue'])
  t.same(rig.gateway.values(), [0, 1])
})

void t.test('a gateway that is quiet with nothing outstanding is no silence', async (t) => {
  const rig = await joinedRig()
  const before = rig.sent.filter(({ kind }) => kind === 'hello').length
  rig.up = false
  await rig.turn(50 * MINUTE, 5_000)
  t.equal(rig.sent.filter(({ kind }) => kind === 'hello').length, before)
  t.notOk(rig.events.includes('FW_AGENT_GATEWAY_SILENT'))
})

void t.test('a refused member is told so and keeps its readings', async (t) => {
  const rig = await joinedRig()
  rig.gateway.refuse = 'revoked'
  rig.session = { mailboxes: [], silence: { silentMs: 0, nextMs: 0, step: 'none' } }
  await rig.restart()
  await rig.read(2)
  t.equal(rig.core.status(rig.now).refused, 'revoked')
  t.equal(rig.standing.state, 'member')
  t.equal(rig.spool.spool.counters.held, 2)
})

void t.test('a NOTICE is taken, kept and confirmed; a rename comes with it', async (t) => {
  const rig = await joinedRig()
  const session = rig.gateway.sessions.at(-1)!
  rig.gateway.name = 'pump-8'
  rig.answerWith(rig.gateway.notice(session, [{ url: 'ws://new.lan:24780' }]))
  await rig.turn(1_000)
  t.match(rig.site, {
    siteRevision: 4,
    downThrough: 1,
    relays: [{ url: 'ws://new.lan:24780' }],
    doorbell: { epoch: 2 },
  })
  const last = session.said.findLast((message) => message.kind === 'data')!
  t.equal(last.downThrough, 1)
})

void t.test('the hello shows the newest site revision that the agent was told', async (t) => {
  const rig = await joinedRig()
  t.equal(rig.site.siteRevision, 3)
  t.equal(parseHeader(rig.sent[0]!.bytes).type, 1)
  t.equal(packetHash(rig.sent[0]!.bytes).length, 32)
})

void t.test('an unanswered agent never begins a session because of packets of strangers', async (t) => {
  const rig = await startRig()
  rig.down = false
  rig.record()
  const before = rig.sent.length
  for (let i = 0; i < 100; i++) rig.answerWith([new Uint8Array(100).fill(i)])
  t.equal(rig.sent.length, before)
})

void t.test(
  'after 2^15 packets the next session begins by itself and nothing is lost',
  { timeout: 120_000 },
  async (t) => {
    const rig = await joinedRig({ maxReadings: 1 })
    rig.gateway.answerEvery = 16
    const session = rig.gateway.sessions.at(-1)!
    let sealed = 0
    while (rig.gateway.sessions.at(-1) === session && sealed < 40_000) {
      rig.spool.feed(2_000)
      sealed += 2_000
      await rig.turn(8_000, 1_000)
    }
    rig.gateway.answerEvery = 1
    await rig.turn(10_000, 1_000)
    t.equal(rig.gateway.hellos.length, 3)
    t.ok(sealed > 30_000, `after ${sealed} packets`)
    t.equal(rig.gateway.readings.length, sealed)
    t.equal(new Set(rig.gateway.values()).size, sealed)
  },
)

void t.test('what an agent keeps on disk opens nothing that it has sent, and seals nothing', async (t) => {
  const rig = await joinedRig()
  await rig.read(2)
  await rig.turn(2 * HOUR, 10_000)
  await rig.read(2)
  await rig.turn(2_000)
  t.ok(rig.gateway.sessions.length >= 3, 'it has changed its session')
  const disk = Buffer.from(bytesOf([rig.session, rig.site, rig.standing]))
  const last = rig.gateway.sessions.at(-1)!
  t.ok(disk.includes(Buffer.from(last.secrets.resumption)), 'what the next session needs is there')
  for (const { secrets } of rig.gateway.sessions) {
    const { up, down, box2Key, resumption } = secrets
    for (const secret of [up.treeRoot, down.treeRoot, box2Key]) t.notOk(disk.includes(Buffer.from(secret)))
    if (secrets !== last.secrets) t.notOk(disk.includes(Buffer.from(resumption)), 'r of a session before')
  }
})

/** Every byte string in a state, one behind the other. */
function bytesOf(state: unknown): number[] {
  if (state instanceof Uint8Array) return [...state]
  return typeof state === 'object' && state !== null ? Object.values(state).flatMap(bytesOf) : []
}
