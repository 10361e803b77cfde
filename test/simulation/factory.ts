import { AgentNode } from './agent-node.js'
import { Checkers } from './checkers.js'
import type { Dice } from './dice.js'
import { GATEWAY, GatewayNode } from './gateway-node.js'
import { Interference } from './interference.js'
import { Lan } from './lan.js'
import type { Plan } from './plan.js'
import type { Dial } from './relay-client.js'
import { RelayNode } from './relay-node.js'
import { Tally } from './tally.js'
import type { World } from './world.js'

const ENROL_MS = 120_000
const MAX_CLONES = 2

/** A whole site in one process. */
export class Factory {
  readonly world: World
  readonly checkers: Checkers
  readonly tally = new Tally()
  readonly interference: Interference
  readonly lan: Lan
  readonly relays: readonly RelayNode[]
  readonly gateway: GatewayNode
  readonly agents: AgentNode[] = []
  /** Two devices with one identity. */
  readonly clones: { readonly original: AgentNode; readonly copy: AgentNode }[] = []
  /** Switched off for good, or until somebody takes it out of here. */
  readonly off = new Set<AgentNode | GatewayNode | RelayNode>()
  /** Sources fall silent. */
  quiet = false
  readonly #dice: Dice
  readonly #plan: Plan
  readonly #dial: Dial
  readonly #prepare: (agent: AgentNode) => void
  /** Dead, and to be started soon. */
  readonly #starting = new Set<AgentNode | GatewayNode | RelayNode>()
  #nextId = 0

  /** `prepare` sees each agent before it starts. */
  constructor(world: World, dice: Dice, plan: Plan, prepare: (agent: AgentNode) => void = () => undefined) {
    this.#prepare = prepare
    this.world = world
    this.#dice = dice
    this.#plan = plan
    this.checkers = new Checkers(world)
    this.interference = new Interference(world, dice.fork(), this.tally)
    this.lan = new Lan(world, dice.fork(), this.interference)
    this.relays = Array.from(
      { length: plan.relays },
      (_, index) => new RelayNode(world, dice.fork(), this.interference, index),
    )
    this.#dial = (url, end) => this.relays.find((relay) => relay.url === url)?.accept(end)
    this.gateway = new GatewayNode({
      world,
      dice: dice.fork(),
      checkers: this.checkers,
      lan: this.lan,
      dial: this.#dial,
      relays: this.relays.map(({ url }) => ({ url })),
    })
  }

  /** Everything is switched on; whatever is down later is started again by itself. */
  async open(): Promise<void> {
    for (const relay of this.relays) relay.start()
    this.gateway.start()
    this.#supervise()
    for (let index = 0; index < this.#plan.agents; index++) await this.#addAgent(index)
    for (const agent of this.agents) this.#reads(agent)
  }

  /** Copies the disk of a device while it is off; from then on both run. Once a device, and of two at most. */
  clone(agent: AgentNode): boolean {
    const known = this.clones.some(({ original, copy }) => original === agent || copy === agent)
    if (known || this.clones.length >= MAX_CLONES || !agent.isMember) return false
    agent.end(() => 10, true)
    this.off.add(agent)
    agent.disk.settle().then(
      () => {
        const copy = this.#agent(`${agent.name}-copy`, agent)
        this.clones.push({ original: agent, copy })
        this.off.delete(agent)
        this.#reads(copy)
        this.world.log(`${agent.name} is cloned`)
      },
      (error: unknown) => this.world.note(error),
    )
    return true
  }

  /** The power goes, and when it is back a record of its disk does not read. */
  damage(node: AgentNode | GatewayNode | RelayNode): void {
    if (node instanceof AgentNode) node.end(() => 10, true)
    else node.end(() => 10)
    this.off.add(node)
    node.disk.damage().then(
      (table) => {
        this.off.delete(node)
        if (node instanceof AgentNode) node.forget()
        // A hello that it forgot is answered once more, under the first leaf of the session that it made and another nonce.
        if (node === this.gateway) this.checkers.gatewayWentBack(table?.startsWith('hellos') ?? false)
        this.world.log(`damaged: ${table}`)
      },
      (error: unknown) => this.world.note(error),
    )
  }

  #reads(agent: AgentNode): void {
    const { readEveryMs } = this.#plan
    this.world.after(this.#dice.between(0.5, 1.5) * readEveryMs, () => {
      if (this.quiet) return
      agent.read()
      this.#reads(agent)
    })
  }

  /** Supervisors: what died starts again in some seconds. */
  #supervise(): void {
    for (const node of [...this.relays, this.gateway, ...this.agents]) {
      if (!node.alive && !this.off.has(node) && !this.#starting.has(node)) {
        this.#starting.add(node)
        this.world.after(this.#dice.between(200, 5_000), () => {
          this.#starting.delete(node)
          if (!this.off.has(node)) node.start()
        })
      }
    }
    this.world.after(500 * this.world.pace, () => this.#supervise())
  }

  async #addAgent(index: number): Promise<void> {
    const name = `agent-${index}`
    this.#agent(name, await this.#enrol(name)).start()
  }

  /** One more device, not started yet. */
  #agent(name: string, from: string | AgentNode): AgentNode {
    const { batchMs, spoolBytes, onFull, lan } = this.#plan
    const dice = this.#dice.fork()
    const others = Array.from({ length: this.#plan.agents }, (_, other) => `agent-${other}`).filter(
      (other) => other !== name,
    )
    const peers = lan ? [GATEWAY, ...(others.length > 0 ? [dice.pick(others)!] : [])] : []
    const limits = {
      maxBytes: spoolBytes,
      maxAgeMs: 30 * 86_400_000,
      minFreeBytes: 0,
      alwaysBytes: 0,
      onFull,
    }
    const { world, checkers } = this
    const shared = { world, checkers, lan: this.lan, dial: this.#dial, limits, batchMs }
    const agent = new AgentNode({ ...shared, name, dice, peers, nextId: () => this.#nextId++ }, from)
    agent.disk.onCrash = () => agent.end(() => 10, true)
    this.agents.push(agent)
    this.#prepare(agent)
    return agent
  }

  /** The operator repeats a command that got no answer. */
  async #enrol(name: string): Promise<string> {
    let invite: string | undefined
    const ask = (): void => {
      if (invite !== undefined) return
      const replace = this.gateway.core?.agents.named(name) !== undefined
      this.gateway.core?.enroll(name, { replace, confirm: false }).then(
        (text) => (invite ??= text),
        () => undefined,
      )
      this.world.after(2_000, ask)
    }
    ask()
    if (!(await this.world.until(this.world.now + ENROL_MS, () => invite !== undefined)))
      this.world.broken(`${name} could not be enrolled`)
    return invite!
  }
}
