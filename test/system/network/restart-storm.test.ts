import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { askControl } from '@fieldwhisper/host'
import { lanConstants } from '@fieldwhisper/mesh'
import t from 'tap'
import { stringify } from 'yaml'
import { temporaryFolder } from '../../support/folder.js'
import { streamFor, until } from '../../support/until.js'
import { layFloor, runGateway, startRelay } from '../support/floor.js'
import { distinctIds, judge } from '../support/judge.js'
import type { ManyStatus, Member } from '../support/many-agents.js'
import { createNet, noNetworks } from '../support/net.js'
import type { Program } from '../support/process.js'
import { Agent, type AgentState, counterSource, readSeen, type Gateway } from '../support/site.js'

const MANY = fileURLToPath(new URL('../support/many-agents.ts', import.meta.url))
const PROCESSES = 10
const AGENTS_EACH = 20
/** A gateway keeps 64 invites open. */
const PROCESSES_AT_ONCE = 3
const ALONE_MS = 5_000
const DRAIN_MS = 60_000

async function enroll({ stateDir }: Gateway, name: string): Promise<string> {
  const reply = await askControl(stateDir, 'enroll', { name, replace: false, confirm: false })
  if (!reply || !('ok' in reply)) throw new Error(`${name} could not be enrolled: ${JSON.stringify(reply)}`)
  return reply.ok as string
}

void t.test(
  'restart storm: 200 agents in 10 processes meet a gateway that starts again, 20 processes start at once',
  { skip: noNetworks(), timeout: 400_000 },
  async (t) => {
    const net = createNet(t, ['lan', 'uplink'])
    const { program: relay, reach } = await startRelay(t, net.host('relay', ['uplink']), 'uplink')
    const lan = { interfaces: ['lan'] }
    const gatewayHost = net.host('gateway', ['lan', 'uplink'])
    const { gateway, subscription } = await layFloor(t, gatewayHost, {
      lan,
      relays: [reach],
    })
    let program = await runGateway(gateway)
    // A disk, not memory: 200 spools with their reserve.
    const folder = temporaryFolder(t)
    // Each hall hears only itself, as behind a router: what is tried here is not the discovery.
    const peers = [`${gatewayHost.address('lan')}:${lanConstants.DEFAULT_LINK_PORT}`]
    const configOf = (index: number): object => ({
      lan: { ...lan, beacon_port: lanConstants.DEFAULT_BEACON_PORT + 10 + index, peers },
      spool: { min_free_disk: '0B' },
      sources: [counterSource(1)],
    })

    const fleet = Array.from({ length: PROCESSES }, (_, index) => ({
      host: net.host(`hall-${index}`, ['lan', 'uplink']),
      stateDir: join(folder, `hall-${index}`),
      names: Array.from({ length: AGENTS_EACH }, (_, agent) => `agent-${index}-${agent}`),
    }))
    const start = ({ host, stateDir }: (typeof fleet)[number]) =>
      host.spawn(process.execPath, ['--import=tsx', MANY, stateDir, `${stateDir}.yaml`, `${stateDir}.json`])
    const status = async ({ stateDir }: (typeof fleet)[number]): Promise<ManyStatus | undefined> => {
      const reply = await askControl(stateDir, 'status')
      return reply && 'ok' in reply ? (reply.ok as ManyStatus) : undefined
    }
    const all = async (
      some: typeof fleet,
      accept: (state: ManyStatus, index: number) => boolean,
      withinMs: number,
      what: string,
    ): Promise<void> => {
      for (const [index, one] of some.entries()) {
        const state = async (): Promise<boolean> => {
          const found = await status(one)
          return found !== undefined && accept(found, index)
        }
        await until(state, { withinMs, everyMs: 200, what: `${what} (${one.stateDir})` })
      }
    }

    const programs: Program[] = []
    const waiting = [...fleet]
    /** One process after the other, until all in it have joined. */
    const joinAll = async (): Promise<void> => {
      for (let hall = waiting.shift(); hall; hall = waiting.shift()) {
        const members: Member[] = []
        for (const name of hall.names)
          members.push({ stateDir: join(folder, name), invite: await enroll(gateway, name) })
        writeFileSync(`${hall.stateDir}.yaml`, stringify(configOf(fleet.indexOf(hall))), { mode: 0o600 })
        writeFileSync(`${hall.stateDir}.json`, JSON.stringify(members), { mode: 0o600 })
        programs.push(start(hall))
        await all([hall], (state) => state.every(({ joined }) => joined), 90_000, 'all have joined')
      }
    }
    await Promise.all(Array.from({ length: PROCESSES_AT_ONCE }, joinAll))

    await program.kill()
    await streamFor(ALONE_MS)
    const before = await Promise.all(fleet.map(status))
    const held = before.flatMap((state) => state!).filter(({ accepted, acked }) => accepted > acked)
    t.equal(held.length, PROCESSES * AGENTS_EACH, 'every agent has readings that wait')
    const from = performance.now()
    program = await runGateway(gateway)
    await all(
      fleet,
      (state, process) => state.every(({ acked }, agent) => acked >= before[process]![agent]!.accepted),
      DRAIN_MS,
      'what waited has arrived',
    )
    const tookMs = performance.now() - from
    t.ok(tookMs < DRAIN_MS, `it took ${(tookMs / 1_000).toFixed(1)} s`)
    const seenOf = (name: string) => readSeen(subscription.messages).filter(({ agent }) => agent === name)
    /** What is missing of the first so many readings of an agent that never restarted. */
    const missing = (name: string, count: number): number[] => {
      const values = new Set(seenOf(name).map(({ value }) => value))
      return Array.from({ length: count }, (_, value) => value).filter((value) => !values.has(value))
    }
    const lacking = (): string[] =>
      fleet.flatMap(({ names }, process) =>
        names.filter((name, agent) => missing(name, before[process]![agent]!.accepted).length > 0),
      )
    await until(() => lacking().length === 0, {
      withinMs: 30_000,
      everyMs: 200,
      what: 'everything that was acknowledged to be published',
    })

    await Promise.all(programs.map((one) => one.stop(30_000)))
    const alone = fleet[0]!.names.map((name) => new Agent(fleet[0]!.host, name, { folder }, configOf(0)))
    const run = () => alone.map((agent) => agent.spawn('run'))
    const streamsOf = (name: string): Set<string> => new Set(seenOf(name).map(({ id }) => id.split('-')[0]!))
    /** Each of them has begun so many streams, and something of each has arrived. */
    const arrived = (starts: number): Promise<unknown> =>
      until(() => alone.every(({ name }) => streamsOf(name).size >= starts), {
        withinMs: 90_000,
        everyMs: 200,
        what: `readings of start ${starts} of each`,
      })
    const first = run()
    await arrived(2)
    await Promise.all(first.map((one) => one.kill()))
    const second = run()
    await arrived(3)
    for (const { name, stateDir } of alone) {
      const reply = await askControl(stateDir, 'status')
      const { accepted, dropped } = (reply as { ok: AgentState }).ok.spool
      t.equal(dropped, 0)
      await until(() => distinctIds(seenOf(name)) >= accepted, {
        withinMs: 60_000,
        what: `${accepted} readings of ${name}, of all its starts`,
      })
      const last = [...streamsOf(name)].sort().at(-1)!
      judge(
        t,
        seenOf(name).filter(({ id }) => !id.startsWith(last)),
      )
    }
    for (const one of second) one.signal('SIGTERM')
    for (const one of second) t.equal((await one.exited(60_000)).code, 0)
    for (const one of [program, relay]) await one.stop()
  },
)
