/** The agent as other programs use it, by its package, against a gateway and a relay that run as programs. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { EmbeddedAgent, type EmbeddedAgentOptions } from '@fieldwhisper/agent'
import { encodeInvite, INVITE_ID_BIT } from '@fieldwhisper/protocol'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { until, within } from '../../support/until.js'
import { cli, here } from '../../system/support/process.js'
import { WireSite } from '../../system/support/wire-site.js'

const LAN = { lan: { enabled: false }, batch: { interval: '50ms' } }

function invite(id = 7): string {
  return encodeInvite({
    siteFingerprint: new Uint8Array(16).fill(1),
    directorySlot: new Uint8Array(16).fill(2),
    id: (INVITE_ID_BIT | id) >>> 0,
    secret: new Uint8Array(32).fill(3),
    relays: [],
  })
}

async function open(
  t: { teardown(handler: () => unknown): unknown },
  options: EmbeddedAgentOptions,
): Promise<EmbeddedAgent> {
  const agent = await EmbeddedAgent.open({ ...options, config: { ...LAN, ...options.config } })
  t.teardown(() => agent.close())
  return agent
}

const listeners = (): Record<string, number> =>
  Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)]))

void t.test('two agents of one process join, are heard, and end within a second', async (t) => {
  const site = await WireSite.start(t)
  const folder = temporaryFolder(t)
  const before = listeners()
  const written = t.capture(process.stdout, 'write', () => true)
  const [one, two] = await Promise.all(
    ['one', 'two'].map(async (name) => {
      const line = await site.gateway.enroll(name)
      return open(t, { stateDir: join(folder, name), invite: `${line}\n`, name })
    }),
  )
  await Promise.all([
    one!.accept(
      { name: 'value', value: 1, unit: 'Cel' },
      { name: 'value', value: 'two', quality: 'uncertain' },
    ),
    two!.accept({ name: 'value', value: true }),
  ])
  written.restore()
  t.same(written(), [])
  t.same(listeners(), before, 'no handler of the process')
  t.match(new Set(await site.values(3)), new Set([1, 'two', true]))
  await until(() => one!.status().waiting === 0 && two!.status().waiting === 0, {
    withinMs: 10_000,
    what: 'both are confirmed',
  })
  t.match(one!.status(), {
    name: 'one',
    joined: true,
    needsInvite: false,
    failed: false,
    accepted: 2,
    lost: 0,
    paths: { lan: { enabled: false }, relays: [{ connected: true }] },
  })
  t.equal(statSync(join(folder, 'one')).mode & 0o777, 0o700)
  t.equal(statSync(join(folder, 'one', 'identity.json')).mode & 0o777, 0o600)

  await one!.accept({ name: 'value', value: 4 })
  await within(Promise.all([one!.close(), two!.close()]), { withinMs: 1_000, what: 'the end of both' })
  await t.rejects(one!.accept({ name: 'value', value: 5 }), { code: 'FW_SPOOL_CLOSED' })

  // It has joined and needs no invite.
  const again = await open(t, { stateDir: join(folder, 'one') })
  t.match(again.status(), { joined: true, name: 'one' })
  await again.accept({ name: 'value', value: 6 })
  await site.values(5)
  t.same(
    site.published
      .map(({ value }) => value)
      .slice(3)
      .sort(),
    [4, 6],
    'each once',
  )
})

void t.test('readings are kept without a gateway, and by their own time', async (t) => {
  const stateDir = join(temporaryFolder(t), 'a', 'state')
  const agent = await open(t, { stateDir })
  const time = Date.now() - 1_500
  await agent.accept({ name: 'temperature', value: 20, unit: 'Cel', time }, { name: 'running', value: false })
  t.match(agent.status(), { needsInvite: true, joined: false, waiting: 2, accepted: 2 })
  t.equal(agent.status().lastError?.code, 'FW_AGENT_IDENTITY_MISSING')
  const [node, program] = cli('agent')
  const shown = await here.run(node, [program, 'spool', 'peek', '--json', '--state', stateDir])
  const rows = JSON.parse(shown.stdout) as { name: string; time: string }[]
  t.same(
    rows.map(({ name }) => name),
    ['temperature', 'running'],
  )
  t.ok(Math.abs(Date.parse(rows[0]!.time) - time) < 50)
  t.ok(Date.parse(rows[1]!.time) - time >= 1_450)
  await agent.close()
  const events: string[] = []
  const again = await open(t, { stateDir, invite: invite(), onEvent: ({ code }) => events.push(code) })
  t.match(again.status(), { needsInvite: false, joined: false, waiting: 2 })
  t.notOk(events.includes('FW_AGENT_IDENTITY_MISSING'))
})

void t.test('one that is invalid is refused in words, and nothing beside it is taken', async (t) => {
  const agent = await open(t, { stateDir: join(temporaryFolder(t), 'state') })
  const wrong = [
    [{ name: '', value: 1 }, /name has 0 bytes/],
    [{ name: 'x', value: Number.NaN }, /no finite number/],
    [{ name: 'x', value: 1, unit: 'u'.repeat(33) }, /unit of "x"/],
    [{ name: 'x', value: 'y'.repeat(9_000) }, /larger than/],
    [{ name: 'x', value: 1, quality: 'fine' as never }, /quality/],
    [{ name: 'x', value: 1, time: 1_700_000_000 }, /between the boot/],
    [{ name: 'x', value: 1, time: Date.now() + 120_000 }, /between the boot/],
    [{ name: 'x', value: 1, time: Number.NaN }, /between the boot/],
  ] as const
  for (const [reading, message] of wrong) {
    await t.rejects(agent.accept({ name: 'well', value: 1 }, reading), {
      code: 'FW_READING_INVALID',
      message,
    })
  }
  t.equal(agent.status().accepted, 0)
})

void t.test('a full spool refuses new readings where it is told to, and counts them', async (t) => {
  const agent = await open(t, {
    stateDir: join(temporaryFolder(t), 'state'),
    config: { spool: { max_bytes: '1MiB', on_full: 'drop_newest' } },
  })
  const value = 'x'.repeat(8_000)
  const full = async (): Promise<boolean> => {
    const readings = Array.from({ length: 100 }, () => ({ name: 'text', value }))
    const error: unknown = await agent.accept(...readings).catch((error: unknown) => error)
    if (error !== undefined) t.match(error, { code: 'FW_SPOOL_FULL' })
    return error !== undefined
  }
  await until(full, { withinMs: 20_000, what: 'the spool to be full', everyMs: 1 })
  const counted = (): boolean => agent.status().lost > 0
  await until(counted, { withinMs: 5_000, what: 'the refused ones to be counted' })
  const { accepted, waiting, lost } = agent.status()
  t.equal(accepted, waiting + lost)
})

void t.test('what keeps it from opening has a code, and leaves nothing behind', async (t) => {
  const stateDir = join(temporaryFolder(t), 'state')
  const opened = (options: Partial<EmbeddedAgentOptions>): Promise<EmbeddedAgent> =>
    EmbeddedAgent.open({ stateDir, ...options, config: { ...LAN, ...options.config } })
  await t.rejects(opened({ invite: 'fw1-nonsense' }), { code: 'FW_INVITE_INVALID' })
  await t.rejects(opened({ config: { spool: { max_bytes: 'much' } } }), {
    code: 'FW_CONFIG_INVALID',
    message: /spool\.max_bytes/,
  })
  await t.rejects(opened({ config: { sources: [] } as never, name: '' }), { code: 'FW_CONFIG_INVALID' })
  const agent = await open(t, { stateDir })
  await t.rejects(opened({}), { code: 'FW_STATE_IN_USE' })
  await agent.accept({ name: 'x', value: 1 })
  await agent.close()
  const reopened = await open(t, { stateDir })
  t.equal(reopened.status().waiting, 1, 'the refused ones changed nothing')
})

void t.test('another invite makes it a new device, the same one does not', async (t) => {
  const site = await WireSite.start(t)
  const stateDir = join(temporaryFolder(t), 'state')
  const first = await site.gateway.enroll('first')
  const joined = async (line: string, name: string, value: number): Promise<void> => {
    const agent = await open(t, { stateDir, invite: line })
    await agent.accept({ name: 'value', value })
    await until(() => agent.status().name === name && agent.status().waiting === 0, {
      withinMs: 20_000,
      what: `${name} has joined`,
    })
    await agent.close()
  }
  await joined(first, 'first', 1)
  await joined(first, 'first', 2)
  await joined(await site.gateway.enroll('second'), 'second', 3)
  t.same(await site.values(3), [1, 2, 3])
})
