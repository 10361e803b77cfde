import t from 'tap'
import { here } from '../support/process.js'
import { Agent, counterSource, type AgentState } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'

const COUNT = 60

void t.test(
  'an agent joins, and its readings arrive in MQTT over LAN and relay',
  { timeout: 120_000 },
  async (t) => {
    const site = await WireSite.start(t, { name: 'counter' })
    const agent = new Agent(
      here,
      'press',
      { folder: temporaryFolder(t) },
      {
        lan: { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 },
        sources: [counterSource(20, { count: COUNT })],
      },
    )
    await agent.command('join', await site.gateway.enroll('press'))
    const program = agent.spawn('run')
    await until(() => new Set(site.published.map(({ id }) => id)).size >= COUNT, {
      withinMs: 60_000,
      what: `${COUNT} readings`,
    })
    t.same(
      site.published.map(({ value }) => value),
      Array.from({ length: COUNT }, (_, index) => index),
      'in order, each once',
    )
    const state = await agent.untilStatus<AgentState>(({ spool }) => spool.held === 0, {
      withinMs: 20_000,
      what: 'an empty spool',
    })
    t.match(state, { joined: true, name: 'press', lost: 0 })
    t.equal(state.spool.accepted, state.spool.acked)
    const { code } = await program.stop()
    t.equal(code, 0)
    t.same(program.survivors(), [])
  },
)
