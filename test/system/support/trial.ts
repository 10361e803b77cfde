import { askControl } from '@fieldwhisper/host'
import type { Test } from 'tap'
import { memoryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { joinAgent, layFloor, RELAY_PORT, runGateway, startRelay } from './floor.js'
import { distinctIds, judge } from './judge.js'
import { createNet, type Host } from './net.js'
import type { Subscription } from './mosquitto.js'
import type { Program } from './process.js'
import {
  Agent,
  counterSource,
  type Gateway,
  type AgentState,
  readSeen,
  type Relay,
  type Seen,
} from './site.js'

export type Role = 'agent' | 'gateway' | 'relay'

export interface TrialOptions {
  /** Readings a second. */
  readonly rate?: number
  /** Where the state of all three programs is; in memory if absent. */
  readonly folder?: string
  /** The relay that agent and gateway are told of, in front of the real one on this other port of its host. */
  readonly proxy?: { readonly port: number; start(host: Host, behind: string): Promise<void> }
}

const LAN = { interfaces: ['lan'] }

/**
 * One site on two private networks, to be mistreated: a relay on `uplink`, a gateway with its broker and an agent on `lan` and
 * `uplink`. It runs and readings have arrived when `lay` returns.
 */
export class Trial {
  readonly t: Test
  readonly hosts: Readonly<Record<Role, Host>>
  readonly relay: Relay
  readonly gateway: Gateway
  readonly agent: Agent
  readonly broker: Program
  readonly subscription: Subscription
  readonly rate: number
  readonly folder: string
  readonly relayPort: number
  readonly programs: Record<Role, Program>

  private constructor(parts: Pick<Trial, 't' | 'hosts' | 'relay' | 'gateway' | 'agent' | 'broker'> & Rest) {
    this.t = parts.t
    this.hosts = parts.hosts
    this.relay = parts.relay
    this.gateway = parts.gateway
    this.agent = parts.agent
    this.broker = parts.broker
    this.subscription = parts.subscription
    this.rate = parts.rate
    this.folder = parts.folder
    this.relayPort = parts.relayPort
    this.programs = parts.programs
  }

  static async lay(
    t: Test,
    { rate = 20, folder = memoryFolder(t), proxy }: TrialOptions = {},
  ): Promise<Trial> {
    const net = createNet(t, ['lan', 'uplink'])
    const hosts = {
      relay: net.host('relay', ['uplink']),
      gateway: net.host('gateway', ['lan', 'uplink']),
      agent: net.host('press', ['lan', 'uplink']),
    }
    const relayPort = proxy?.port ?? RELAY_PORT
    const started = await startRelay(t, hosts.relay, 'uplink', folder, relayPort)
    const { url, token } = started.reach
    await proxy?.start(hosts.relay, url)
    const reach = { url: `ws://${hosts.relay.address('uplink')}:${RELAY_PORT}`, token }
    const floor = await layFloor(t, hosts.gateway, { lan: LAN, relays: [reach] }, folder)
    const agent = new Agent(hosts.agent, 'press', { folder }, config(rate))
    const gateway = await runGateway(floor.gateway)
    await joinAgent(floor.gateway, agent)
    const programs = { relay: started.program, gateway, agent: agent.spawn('run') }
    const { relay } = started
    const trial = new Trial({ t, hosts, relay, ...floor, agent, rate, folder, relayPort, programs })
    await trial.until<AgentState>(
      'agent',
      ({ paths }) => paths.lan.links > 0 && paths.relays.some(({ connected }) => connected),
      { withinMs: 30_000, what: 'both paths' },
    )
    await trial.flows('the start')
    return trial
  }

  seen(): Seen[] {
    return readSeen(this.subscription.messages)
  }

  count(): number {
    return distinctIds(this.seen())
  }

  /** Goes on when so many more seconds of readings have been published. */
  async flows(what: string, seconds = 1): Promise<void> {
    const goal = this.count() + seconds * this.rate
    await until(() => this.count() >= goal, { withinMs: 90_000, everyMs: 50, what: `readings after ${what}` })
  }

  /** What a running program says of itself, asked at its control socket: a command for it takes half a second of a core. */
  async status<T = AgentState>(role: Role = 'agent'): Promise<T> {
    const status = await this.#ask<T>(role)
    if (status === undefined) throw new Error(`the ${role} does not answer`)
    return status
  }

  /** Waits for a status of a running program that is as wanted; until it runs there is none. */
  until<T extends object>(
    role: Role,
    accept: (status: T) => boolean,
    wait: { readonly withinMs: number; readonly what: string },
  ): Promise<T> {
    return until(
      async () => {
        const status = await this.#ask<T>(role)
        return status !== undefined && accept(status) ? status : undefined
      },
      { ...wait, everyMs: 50 },
    )
  }

  /** Goes on when the agent has taken so many more seconds of readings, whatever becomes of them. */
  async taken(seconds: number): Promise<AgentState['spool']> {
    const { spool: before } = await this.status()
    const { spool } = await this.until<AgentState>(
      'agent',
      ({ spool: { accepted } }) => accepted >= before.accepted + seconds * this.rate,
      { withinMs: (seconds + 30) * 1_000, what: `${seconds} s of readings in the spool` },
    )
    return spool
  }

  /** Everything taken until now has been published. */
  async drained(what: string): Promise<void> {
    const { spool } = await this.status()
    await until(() => this.count() >= spool.accepted, {
      withinMs: 120_000,
      everyMs: 50,
      what: `${spool.accepted} readings after ${what}`,
    })
  }

  spawn(role: Role): Program {
    const program =
      role === 'relay'
        ? this.relay.spawn('run', '--listen', `0.0.0.0:${this.relayPort}`)
        : this[role].spawn('run')
    this.programs[role] = program
    return program
  }

  /** The agent starts again with a source as wanted, after an end in order. */
  async restartAgent(sources: readonly object[]): Promise<void> {
    await this.programs.agent.stop()
    this.agent.configure({ ...config(this.rate), sources })
    this.spawn('agent')
  }

  /** Ends the source in order, waits until nothing is on its way, and judges all that was published. */
  async settle(): Promise<void> {
    await this.restartAgent([])
    const { spool } = await this.until<AgentState>('agent', ({ spool }) => spool.held === 0, {
      withinMs: 120_000,
      what: 'an empty spool',
    })
    await until(() => this.count() >= spool.accepted, {
      withinMs: 60_000,
      everyMs: 50,
      what: `${spool.accepted} published readings`,
    })
    this.t.equal(this.count(), spool.accepted, 'all that was accepted was published, and nothing else')
    this.t.equal(spool.dropped, 0)
    judge(this.t, this.seen())
    for (const role of ['agent', 'gateway', 'relay'] as const) {
      this.t.equal((await this.programs[role].stop()).code, 0, `${role} ends in order`)
    }
  }

  async #ask<T>(role: Role): Promise<T | undefined> {
    const reply = await askControl(this[role].stateDir, 'status')
    return reply !== undefined && 'ok' in reply ? (reply.ok as T) : undefined
  }
}

interface Rest {
  readonly subscription: Subscription
  readonly rate: number
  readonly folder: string
  readonly relayPort: number
  readonly programs: Record<Role, Program>
}

function config(rate: number): object {
  return {
    lan: LAN,
    spool: { min_free_disk: '0B' },
    batch: { interval: '250ms' },
    sources: [counterSource(rate)],
  }
}
