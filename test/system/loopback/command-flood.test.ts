/** One client of the gateway's broker floods it with commands: each is answered, and nobody else is the worse for it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { cli, here } from '../support/process.js'
import { Agent, counterSource } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'

const COMMANDS = 10_000
/** The gateway keeps 1,000 open commands and 1,000 known answers of some hundred bytes; the rest is slack of the garbage collector. */
const MORE_MEMORY_MIB = 128

interface Reply {
  readonly correlation: string
  readonly status: string
  readonly code: string
}

void t.test('ten thousand commands at once', { timeout: 120_000 }, async (t) => {
  const site = await WireSite.start(t, { name: 'counter' })
  const folder = temporaryFolder(t)
  const [node, program] = cli('gateway')
  const { stateDir } = site.gateway
  const command = (...args: readonly string[]): ReturnType<typeof here.run> =>
    here.run(node, [program, ...args, '--state', stateDir], { withinMs: 60_000 })
  const passwordFile = join(folder, 'flood-password')
  writeFileSync(passwordFile, 'what the flood says\n')
  const rights = ['--write', 'fieldwhisper/+/$agents/+/command', '--password-file', passwordFile]
  const lan = { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 }
  const adding = command('broker', 'user', 'add', 'flood', ...rights)
  await Promise.all(
    ['press', 'steady'].map(async (name) => {
      const sources = name === 'steady' ? [counterSource(20)] : []
      const agent = new Agent(here, name, { folder }, { lan, sources })
      await agent.command('join', await site.gateway.enroll(name))
      const running = agent.spawn('run')
      t.teardown(() => running.kill())
    }),
  )
  await site.values(20)
  t.equal((await adding).code, 0)

  const client = await connectAsync((await site.status()).mqtt.broker.address, {
    username: 'flood',
    password: 'what the flood says',
    reconnectPeriod: 0,
  })
  t.teardown(() => client.endAsync(true))
  const replies: Reply[] = []
  client.on('message', (_topic, payload) => replies.push(JSON.parse(String(payload)) as Reply))
  await client.subscribeAsync('fieldwhisper/test/$agents/press/reply', { qos: 1 })

  const memory = (line: string): number => {
    const found = new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm').exec(
      readFileSync(`/proc/${site.program.pid}/status`, 'utf8'),
    )
    return Number(found![1]) / 1024
  }
  const usedBefore = memory('VmRSS')
  const readingsBefore = site.published.length
  const begun = performance.now()
  for (let i = 0; i < COMMANDS; i++) {
    client.publish(
      'fieldwhisper/test/$agents/press/command',
      JSON.stringify({ command: 'ping', ttl: '10s', correlation: `c${i}` }),
      { qos: 1 },
    )
  }
  await until(() => replies.length >= COMMANDS, { withinMs: 60_000, what: 'an answer to every command' })
  const more = memory('VmHWM') - usedBefore
  const tally: Record<string, number> = {}
  for (const { status, code } of replies) tally[`${status} ${code}`] = (tally[`${status} ${code}`] ?? 0) + 1
  t.comment(
    `${Math.round(performance.now() - begun)} ms, ${Math.round(more)} MiB more at most, ${JSON.stringify(tally)}`,
  )
  t.equal(new Set(replies.map(({ correlation }) => correlation)).size, COMMANDS, 'each has its own answer')
  t.same(Object.keys(tally).sort(), ['done FW_COMMAND_DONE', 'refused FW_COMMAND_TOO_MANY'])
  t.ok(tally['done FW_COMMAND_DONE']! >= 64, 'as many as may wait were carried out')
  t.ok(more < MORE_MEMORY_MIB, `${Math.round(more)} MiB`)
  const during = site.published.length - readingsBefore
  t.ok(during > 0, `${during} readings of the other agent came in between`)

  const [ping, status] = await Promise.all([command('command', 'press', 'ping'), command('status')])
  t.equal(ping.code, 0, 'the next one is carried out')
  t.equal(status.code, 0, 'the gateway is well')
  const values = (await site.values(site.published.length + 20)).map(Number)
  const seen = new Set(values)
  const upTo = values.at(-20)!
  const missing = Array.from({ length: upTo - values[0]! }, (_, i) => values[0]! + i).filter(
    (one) => !seen.has(one),
  )
  t.same(missing, [], 'no reading of the other agent is missing')
})
