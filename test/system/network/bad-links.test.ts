import t, { type Test } from 'tap'
import { streamFor } from '../../support/until.js'
import { type Host, noNetworks } from '../support/net.js'
import { Trial } from '../support/trial.js'

const NETWORKS = ['lan', 'uplink'] as const
const FAMILIES = [4, 6] as const
const SECONDS = 2
const LOSS = ['-m', 'statistic', '--mode', 'random', '--probability', '0.2']
const FLAPS = 20
const FLAP_MS = 150
/** As of a bad radio. */
const NARROW = ['tbf', 'rate', '32kbit', 'burst', '1600', 'latency', '400ms']
/** More than that carries. */
const NARROW_RATE = 1_000
const NARROW_S = 6

function drop(host: Host, ...rule: readonly string[]): void {
  for (const family of FAMILIES) host.drop(rule, family)
}

async function onePath(t: Test): Promise<void> {
  const trial = await Trial.lay(t)
  const host = trial.hosts.agent
  for (const chain of ['INPUT', 'OUTPUT']) drop(host, chain, ...LOSS)
  await trial.flows('20 % loss in both directions', SECONDS)
  host.unblock()
  await trial.drained('20 % loss')

  const ways = NETWORKS.flatMap((network) => [
    ['INPUT', '-i', network],
    ['OUTPUT', '-o', network],
  ])
  for (const way of ways) {
    drop(host, ...way)
    await trial.flows(`${way.join(' ')} dead`, SECONDS)
    host.unblock()
  }
  await trial.settle()
  t.equal(trial.seen().length, trial.count(), 'no id came twice')
}

async function bothPaths(t: Test): Promise<void> {
  const trial = await Trial.lay(t)
  const host = trial.hosts.agent
  for (const chain of ['INPUT', 'OUTPUT']) {
    drop(host, chain)
    await trial.taken(SECONDS)
    host.unblock()
    await trial.drained(`${chain} of both paths dead`)
  }
  for (let flap = 0; flap < FLAPS; flap++) {
    const network = NETWORKS[flap % 2]!
    host.unplug(network)
    await streamFor(FLAP_MS)
    host.plug(network)
  }
  await trial.flows('links that came and went', SECONDS)
  await trial.settle()
  t.equal(trial.seen().length, trial.count(), 'no id came twice')
}

async function narrowPaths(t: Test): Promise<void> {
  const trial = await Trial.lay(t, { rate: NARROW_RATE })
  const { agent, gateway } = trial.hosts
  const narrow = async (verb: 'add' | 'del'): Promise<void> => {
    for (const network of NETWORKS) {
      for (const end of [agent, gateway]) {
        const rule = ['qdisc', verb, 'dev', network, 'root', ...(verb === 'add' ? NARROW : [])]
        const { code, stderr } = await end.run('tc', rule)
        t.equal(code, 0, stderr)
      }
    }
  }
  await narrow('add')
  const before = trial.count()
  await trial.taken(NARROW_S)
  t.ok(trial.count() > before, 'some come through')
  const { spool } = await trial.status()
  t.ok(spool.held > NARROW_RATE, `${spool.held} readings had to wait`)
  await narrow('del')
  await trial.drained('32 kbit/s')
  await trial.settle()
  t.equal(trial.seen().length, trial.count(), 'no id came twice')
}

void t.test(
  'bad links: nothing is lost, nothing comes twice, all drains',
  { skip: noNetworks(), timeout: 300_000, jobs: 3 },
  async (t) => {
    await Promise.all([
      t.test('a fifth of all packets lost, then one direction of one path dead', onePath),
      t.test('one direction of both paths dead, then cables that come and go', bothPaths),
      t.test('32 kbit/s, less than the readings need', narrowPaths),
    ])
  },
)
