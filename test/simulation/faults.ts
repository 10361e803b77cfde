import type { Dice } from './dice.js'
import type { Factory } from './factory.js'
import { GATEWAY } from './gateway-node.js'
import { NO_MEDDLING } from './interference.js'
import type { Plan, Recurring } from './plan.js'
import { FAST_BYTES_PER_MS } from './wire.js'

const FULL_MS: readonly [number, number] = [500, 30_000]
/** 32 kbit/s to 800 kbit/s. */
const SLOW_BYTES_PER_MS: readonly [number, number] = [4, 100]

/** Does to a factory what a plan says, until it is told to heal. */
export class Faults {
  readonly #factory: Factory
  readonly #dice: Dice
  readonly #endings = new Set<() => void>()
  #on = true

  constructor(factory: Factory, dice: Dice, plan: Plan) {
    this.#factory = factory
    this.#dice = dice
    factory.interference.meddling = plan.meddling
    for (const [kind, rate] of plan.rates) this.#again(kind, rate)
  }

  /** No more faults, and what is broken is mended at once; what nobody noticed yet stays to be noticed. */
  heal(): void {
    this.#on = false
    this.#factory.interference.meddling = NO_MEDDLING
    for (const end of [...this.#endings]) end()
  }

  #again(kind: Recurring, perMinute: number): void {
    // Exponential: sometimes two at once, sometimes none for long.
    const inMs = (-Math.log(1 - this.#dice.unit()) * 60_000) / perMinute
    this.#factory.world.after(inMs, () => {
      if (!this.#on) return
      if (this.#strike(kind)) {
        this.#factory.tally.add(kind)
        this.#factory.world.log(`fault: ${kind}`)
      }
      this.#again(kind, perMinute)
    })
  }

  /** False where there was nothing to strike. */
  #strike(kind: Recurring): boolean {
    const { agents, gateway, relays, lan } = this.#factory
    const dice = this.#dice
    const agent = dice.pick(agents.filter(({ alive }) => alive))
    const relay = dice.pick(relays.filter(({ alive }) => alive))
    const reset = (): number => dice.between(0, 100)
    /** Without power nobody says goodbye: the others notice by silence. */
    const silence = (): number => dice.between(10_000, 60_000)
    switch (kind) {
      case 'agent killed':
      case 'agent power cut': {
        const power = kind === 'agent power cut'
        agent?.end(power ? silence : reset, power)
        return agent !== undefined
      }
      case 'gateway killed':
      case 'gateway power cut': {
        const power = kind === 'gateway power cut'
        const was = gateway.alive
        gateway.end(power ? silence : reset, power)
        return was
      }
      case 'gateway disk fails':
        gateway.disk.failing = true
        return this.#for([100, 5_000], () => (gateway.disk.failing = false))
      case 'relay power cut':
      case 'relay wiped':
        relay?.end(silence, kind === 'relay wiped')
        return relay !== undefined
      case 'link breaks':
      case 'link one way': {
        const wire = dice.pick([...lan.wires])
        const oneWay = kind === 'link one way'
        wire?.stall(dice.int(0, 1) as 0 | 1, oneWay ? [silence(), silence()] : [reset(), silence()])
        return wire !== undefined
      }
      case 'relay connection breaks':
      case 'relay connection one way': {
        const wire = dice.pick([...(relay?.wires ?? [])])
        const oneWay = kind === 'relay connection one way'
        wire?.stall(dice.int(0, 1) as 0 | 1, oneWay ? [silence(), silence()] : [reset(), silence()])
        return wire !== undefined
      }
      case 'cable out': {
        const name = dice.pick([...agents.map((each) => each.name), GATEWAY])!
        if (lan.unplugged.has(name)) return false
        lan.unplug(name)
        return this.#for([5_000, 90_000], () => lan.unplugged.delete(name))
      }
      case 'lines slow': {
        const slow = dice.pick([lan, ...relays])!
        slow.bytesPerMs = dice.between(...SLOW_BYTES_PER_MS)
        return this.#for([5_000, 90_000], () => (slow.bytesPerMs = FAST_BYTES_PER_MS))
      }
      case 'agent disk full':
        if (!agent) return false
        agent.disk.full = true
        return this.#for(FULL_MS, () => (agent.disk.full = false))
      case 'gateway disk full':
        gateway.disk.full = true
        return this.#for(FULL_MS, () => (gateway.disk.full = false))
      case 'relay disk full':
        if (!relay) return false
        relay.disk.full = true
        return this.#for(FULL_MS, () => (relay.disk.full = false))
      case 'disks slow': {
        const disks = [...agents, ...relays, gateway].map(({ disk }) => disk)
        for (const disk of disks) disk.slowestMs = dice.between(50, 3_000)
        return this.#for([1_000, 30_000], () => disks.forEach((disk) => (disk.slowestMs = 8)))
      }
      case 'outbox full':
        gateway.outboxFull = true
        return this.#for(FULL_MS, () => (gateway.outboxFull = false))
      case 'agent disk copied or restored': {
        const did = agent?.copyOrRestore()
        if (did) this.#factory.world.log(`${agent!.name}: ${did}`)
        return did !== undefined
      }
      case 'agent cloned':
        return agent !== undefined && this.#factory.clone(agent)
      case 'operator decides between clones': {
        const { core } = gateway
        const held = core && dice.pick([...core.agents.all()].filter(({ heldFrom }) => heldFrom > 0))
        if (!held) return false
        core.decideClone(held.name, dice.chance(0.5) ? 'keep' : 'replace').catch(() => undefined)
        return true
      }
      case 'agent record damaged':
        if (agent) this.#factory.damage(agent)
        return agent !== undefined
      case 'gateway record damaged':
        if (!this.#settled()) return false
        this.#factory.damage(gateway)
        return true
      case 'relay record damaged':
        if (relay) this.#factory.damage(relay)
        return relay !== undefined
      case 'gateway disk copied or put back':
      case 'gateway backed up or restored': {
        if (!this.#settled()) return false
        const did = gateway.copyOrGoBack(kind === 'gateway backed up or restored' ? 'backup' : 'disk')
        if (did) this.#factory.world.log(did)
        return did !== undefined
      }
      case 'wall clock jumps': {
        const clock = dice.pick([...agents, gateway])!.clock
        if (dice.chance(0.3)) clock.set1970()
        else clock.setWall(dice.int(-400, 4_000) * 86_400_000 + 1)
        return this.#for([1_000, 120_000], () => clock.setWall(0))
      }
      case 'stranger at a relay': {
        const seen = this.#factory.interference.sample()
        if (seen) relay?.intrude(seen)
        return seen !== undefined && relay !== undefined
      }
      case 'state files refused':
        if (!agent) return false
        agent.readOnly = true
        return this.#for(FULL_MS, () => (agent.readOnly = false))
    }
  }

  /** The gateway is up and no device needs its invite any more, which only that disk has. */
  #settled(): boolean {
    const { agents, gateway } = this.#factory
    const known = [...(gateway.core?.agents.all() ?? [])].every(({ confirmed }) => confirmed)
    return gateway.core !== undefined && known && agents.every(({ isMember }) => isMember)
  }

  /** Lasts for a time drawn between the two, or until the heal. */
  #for([low, high]: readonly [number, number], end: () => void): true {
    const once = (): void => {
      if (this.#endings.delete(once)) end()
    }
    this.#endings.add(once)
    this.#factory.world.after(this.#dice.between(low, high), once)
    return true
  }
}
