import t from 'tap'
import { until } from '../../support/until.js'
import { WireSite } from '../support/wire-site.js'

/*
 * Data of a new session that is faster than the hello of that session, on real processes: DESIGN section 5, "Nothing is seen
 * before it has opened".
 */

void t.test('data that overtakes its hello', { timeout: 120_000 }, async (t) => {
  const site = await WireSite.start(t)
  let published = 0

  await t.test('on the same link, hello first: it waits for the hello', async (t) => {
    const agent = await site.agent('same-link', 1)
    const link = await site.link()
    const session = agent.join(await link.record(agent.invite.directorySlot), [agent.reading(1)])
    link.send(session.hello, agent.seal(session, agent.reading(2)), agent.seal(session, agent.reading(3)))
    published += 3
    t.same((await site.values(published)).slice(-3).sort(), [1, 2, 3])
  })

  await t.test('on the same link, data first: dropped, and delivered by its second copy', async (t) => {
    const agent = await site.agent('data-first', 2)
    const link = await site.link()
    const session = agent.join(await link.record(agent.invite.directorySlot), [agent.reading(11)])
    const data = agent.seal(session, agent.reading(12))
    const { packets } = await site.status()
    link.send(data)
    await until(async () => (await site.status()).packets['unknown']! > packets['unknown']!, {
      withinMs: 5_000,
      what: 'the early copy was dropped',
    })
    link.send(session.hello, data)
    published += 2
    t.same((await site.values(published)).slice(-2).sort(), [11, 12])
  })

  await t.test(
    'data by LAN, hello by relay, the LAN copy too early: the relay copy is delivered',
    async (t) => {
      const agent = await site.agent('two-paths', 3)
      const link = await site.link()
      const session = agent.join(await link.record(agent.invite.directorySlot), [agent.reading(21)])
      const data = agent.seal(session, agent.reading(22))
      link.send(data)
      const { client } = await site.relay()
      client.prove(session.up.addressKey, { create: true, subscribe: false })
      t.match(await client.deposit(session.hello), { status: 'stored' })
      await until(async () => (await client.deposit(data)).status === 'stored', {
        withinMs: 5_000,
        what: 'the data is at the relay',
      })
      published += 2
      t.same((await site.values(published)).slice(-2).sort(), [21, 22])
    },
  )

  await t.test('hello lost on the LAN, data lost at the relay: each path brings its half', async (t) => {
    const agent = await site.agent('halves', 4)
    const link = await site.link()
    const session = agent.join(await link.record(agent.invite.directorySlot), [agent.reading(31)])
    const { client } = await site.relay()
    t.match(await client.deposit(session.hello), { status: 'stored' })
    published += 1
    t.same((await site.values(published)).at(-1), 31)
    link.send(agent.seal(session, agent.reading(32)))
    published += 1
    t.same((await site.values(published)).at(-1), 32)
  })

  await t.test('every reading was published once', (t) => {
    t.equal(new Set(site.published.map(({ id }) => id)).size, site.published.length)
    t.end()
  })
})
