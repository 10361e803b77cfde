import t from 'tap'
import { Site, distribution, foundTimes, type SiteOptions } from './lan-site.js'

/*
 * Fifty agents and one gateway on one LAN without a relay. Every agent hears fifty beacons that look the same and has
 * eight links; the gateway's worker takes ten handshakes a second (a slow Raspberry Pi).
 */

const SEEDS = [1, 2, 3]

function times(options: Partial<SiteOptions>, untilMs = 120_000): { times: number[]; sites: Site[] } {
  const sites = SEEDS.map((seed) => new Site({ agents: 50, seed, ...options }))
  for (const site of sites) site.run(untilMs)
  return { times: sites.flatMap(foundTimes).sort((a, b) => a - b), sites }
}

void t.test('fifty agents all find the gateway within a minute, on every seed', async (t) => {
  const { times: found, sites } = times({})
  t.comment(distribution(found))
  t.equal(found.length, 150)
  t.ok(found.at(-1)! < 60, `the last after ${found.at(-1)} s`)
  for (const agent of sites.flatMap((site) => site.agents)) {
    if (agent.mostOutgoing > 8) t.fail(`agent ${agent.index} had ${agent.mostOutgoing} outgoing links`)
    if (agent.inbound > 64) t.fail(`agent ${agent.index} has ${agent.inbound} inbound links`)
  }
})

void t.test('with IPv4 and IPv6, where every device is heard twice, too', async (t) => {
  const { times: found } = times({ addresses: 2 })
  t.comment(distribution(found))
  t.ok(found.at(-1)! < 60, `the last after ${found.at(-1)} s`)
})

void t.test('with a gateway that is started last, within a minute of its start', async (t) => {
  const { times: found } = times({ startMs: (index, chance) => (index === 0 ? 45_000 : chance() * 2_000) })
  t.comment(distribution(found))
  t.ok(found[0]! > 45 && found.at(-1)! < 105, `the last after ${found.at(-1)} s`)
})

void t.test('with a gateway that can dial nobody, by rotation and hints, too', async (t) => {
  const { times: found } = times({ gatewayDials: false })
  t.comment(distribution(found))
  t.ok(found.at(-1)! < 60, `the last after ${found.at(-1)} s`)
})

void t.test('with firewalls on the agents that drop every dial to them, too', async (t) => {
  const { times: found } = times({ agentsDropDialsMs: 3_000 })
  t.comment(distribution(found))
  t.ok(found.at(-1)! < 60, `the last after ${found.at(-1)} s`)
})

void t.test('with every second beacon lost all find it in the end', async (t) => {
  const { times: found } = times({ loss: 0.5 }, 180_000)
  t.comment(distribution(found))
  t.ok(found[Math.floor(found.length * 0.9)]! < 60, 'nine in ten within a minute')
  t.ok(found.at(-1)! < 180, `the last after ${found.at(-1)} s`)
})
