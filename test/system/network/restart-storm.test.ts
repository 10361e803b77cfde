import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { askControl } from '@fieldwhisper/host'
import t from 'tap'
import { stringify } from 'yaml'
import { temporaryFolder } from '../../support/folder.js'
import { streamFor, until } from '../../support/until.js'
import { layFloor, runGateway, startRelay } from '../support/floor.js'
import { judge } from '../support/judge.js'
import type { ManyStatus, Member } from '../support/many-agents.js'
import { createNet, noNetworks } from '../support/net.js'
import { Agent, counterSource, readSeen, type Gateway } from '../support/site.js'

const MANY = fileURLToPath(new URL('../support/many-agents.ts', import.meta.url))
const PROCESSES = 10
const AGENTS_EACH = 20
/** A gateway keeps 64 invites open. */
const PROCESSES_A_WAVE = 3
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
    const { gateway, subscription } = await layFloor(t, net.host('gateway', ['lan', 'uplink']), {
      lan,
      relays: [reach],
    })
    let program = await runGateway(gateway)
    // A disk, not memory: 200 spools with their reserve.
    const folder = temporaryFolder(t)
    const config = { lan, spool: { min_free_disk: '0B' }, sources: [counterSource(1)] }
    const configFile = join(folder, 'many.yaml')
    writeFileSync(configFile, stringify(config), { mode: 0o600 })

    const fleet = Array.from({ length: PROCESSES }, (_, index) => ({
      host: net.host(`hall-${index}`, ['lan', 'uplink']),
      stateDir: join(folder, `hall-${index}`),
      names: Array.from({ length: AGENTS_EACH }, (_, agent) => `agent-${index}-${agent}`),
    }))
    const start = ({ host, stateDir }: (typeof fleet)[number]) =>
      host.spawn(process.execPath, ['--import=tsx', MANY, stateDir, configFile, `${stateDir}.json`])
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

    const programs = []
    for (let first = 0; first < PROCESSES; first += PROCESSES_A_WAVE) {
      const wave = fleet.slice(first, first + PROCESSES_A_WAVE)
      for (const one of wave) {
        const members: Member[] = []
        for (const name of one.names)
          members.push({ stateDir: join(folder, name), invite: await enroll(gateway, name) })
        writeFileSync(`${one.stateDir}.json`, JSON.stringify(members), { mode: 0o600 })
        programs.push(start(one))
      }
      await all(wave, (state) => state.every(({ joined }) => joined), 90_000, 'all have joined')
    }

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
    t.comment(`200 spools were empty ${(tookMs / 1_000).toFixed(1)} s after the start of the gateway`)

    for (const one of programs) await one.stop(30_000)
    const alone = fleet[0]!.names.map((name) => new Agent(fleet[0]!.host, name, { folder }, config))
    const run = () => alone.map((agent) => agent.spawn('run'))
    /** Each of them has begun a stream more than before and something of it has arrived. */
    const arrived = async (starts: number): Promise<void> => {
      const streams = (name: string): number => new Set(seenOf(name).map(({ id }) => id.split('-')[0]!)).size
      const seenOf = (name: string) => readSeen(subscription.messages).filter(({ agent }) => agent === name)
      await until(() => alone.every(({ name }) => streams(name) >= starts), {
        withinMs: 90_000,
        everyMs: 200,
        what: `readings of the ${starts}th start of each`,
      })
    }
    const first = run()
    await arrived(2)
    await Promise.all(first.map((one) => one.kill()))
    const second = run()
    await arrived(3)
    for (const one of second) one.signal('SIGTERM')
    for (const one of second) t.equal((await one.exited(60_000)).code, 0)

    for (const { names } of fleet) {
      for (const name of names)
        judge(
          t,
          readSeen(subscription.messages).filter(({ agent }) => agent === name),
        )
    }
    for (const one of [program, relay]) await one.stop()
  },
)
