import t from 'tap'
import { settled } from './core-scenes.js'

const OLD = [{ url: 'ws://relay.test:24780', token: 'one' }]
const MOVED = [{ url: 'ws://relay.test:24781', token: 'one' }]

void t.test(
  'relays that the configuration changed while the gateway was off are told after its start, once',
  async (t) => {
    const { gateway, agent, session } = await settled()
    const told = async (): Promise<unknown[]> => {
      await gateway.tick(1_000)
      const notices = agent.read(session, gateway.answers()).filter((message) => message.kind === 'notice')
      for (const notice of notices) {
        await gateway.link(1, agent.seal(session, agent.empty({ downThrough: notice.id })))
        gateway.answers()
      }
      return notices.map(({ relays }) => relays)
    }
    await gateway.core.announceRelays(OLD)
    t.same(await told(), [OLD], 'nobody knows what agents were told before this was recorded')
    await gateway.core.announceRelays(OLD)
    gateway.restart()
    await gateway.core.announceRelays(OLD)
    t.same(await told(), [], 'they know these')

    gateway.restart()
    await gateway.core.announceRelays(MOVED)
    t.same(await told(), [MOVED])
    const revision = gateway.core.meta.counters.siteRevision

    gateway.restart()
    await gateway.core.announceRelays(MOVED)
    t.same(await told(), [])
    t.equal(gateway.core.meta.counters.siteRevision, revision)

    await gateway.core.announceRelays([{ ...MOVED[0]!, token: 'two' }])
    t.match(await told(), [[{ token: 'two' }]], 'another token is another relay')
    await gateway.core.announceRelays([])
    t.same(await told(), [[]], 'and none is news too')
  },
)
