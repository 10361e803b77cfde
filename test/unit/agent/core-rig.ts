import { crypto, hex } from '@fieldwhisper/protocol'
import type { OutgoingPacket } from '@fieldwhisper/mesh'
import {
  AgentCore,
  NO_SESSION,
  NO_SITE,
  type CoreEffect,
  type CommandReply,
  type CoreEvent,
  type DueCommand,
  type SessionState,
  type SiteState,
  type Standing,
} from '../../../agent/src/core/index.js'
import { DEFAULT_BACKLOG_LIMITS } from '../../../agent/src/core/limits.js'
import { fresh, ScriptedGateway } from './scripted-gateway.js'
import { SpoolRig, type RigOptions } from './spool-rig.js'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
const BOOT = new Uint8Array(8).fill(7)

export interface CoreRigOptions extends RigOptions {
  readonly backlogPerSecond?: number
}

/** An agent's core on a real spool and virtual time, with a scripted gateway at the other end of one path. */
export class CoreRig {
  readonly gateway = new ScriptedGateway()
  readonly spool: SpoolRig
  readonly outstanding = new Map<number, OutgoingPacket>()
  /** Every packet that was handed over, once each. */
  sent: OutgoingPacket[] = []
  readonly events: string[] = []
  readonly proved = new Map<string, boolean>()
  readonly removed: string[] = []
  discarded = 0
  lookUps = 0
  intervalMs = 0
  /** What the agent was to carry out, and what it says at once; undefined: it works on it. */
  readonly commands: DueCommand[] = []
  reply: ((command: DueCommand) => CommandReply) | undefined = () => ({
    status: 'done',
    code: 'FW_COMMAND_DONE',
    text: '',
    result: [],
  })
  joined: string | undefined
  core!: AgentCore
  /** Packets reach the gateway, answers the agent. */
  up = true
  down = true
  /** The disk refuses these files. */
  readonly refuseSave = new Set<string>()
  window = 4_096
  order: 'live_first' | 'in_order' = 'live_first'
  identity = crypto.signingKey(fresh(32))
  standing: Standing
  site: SiteState = NO_SITE
  session: SessionState = NO_SESSION
  #held: Uint8Array[] = []
  readonly #queue: CoreEvent[] = []
  #busy = false

  readonly #backlogPerSecond: number

  constructor(options: CoreRigOptions = {}) {
    this.#backlogPerSecond = options.backlogPerSecond ?? DEFAULT_BACKLOG_LIMITS.backlogPerSecond
    this.spool = new SpoolRig(options)
    const { invite } = this.gateway
    this.standing = {
      state: 'joining',
      invite: { fingerprint: invite.siteFingerprint, ...invite },
    }
  }

  get now(): number {
    return this.spool.timers.now
  }

  async start(): Promise<this> {
    if (!this.spool.spool) await this.spool.open()
    this.outstanding.clear()
    this.core = new AgentCore(
      {
        identity: this.identity,
        standing: this.standing,
        site: this.site,
        session: this.session,
        batches: this.spool.spool,
        hasRoom: () => this.outstanding.size < this.window,
        random: fresh,
        bootId: BOOT,
        order: this.order,
        limits: { backlogPerSecond: this.#backlogPerSecond },
      },
      this.now,
    )
    this.spool.spool.handlers = {
      closed: (batch, urgent) => this.feed({ type: 'closed', batch, urgent }),
      dropped: (batches) => this.feed({ type: 'dropped', batches }),
    }
    this.feed({ type: 'start' })
    return this
  }

  /** The process dies; its disk stays. */
  async restart(): Promise<void> {
    await this.spool.powerCut()
    await this.start()
  }

  /** Events wait for the effects of those before them, as they do in the program. */
  feed(event: CoreEvent): void {
    this.#queue.push(event)
    if (this.#busy) return
    this.#busy = true
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      let step = this.core.step(next, this.now)
      for (;;) {
        for (const effect of step.effects) this.#carryOut(effect)
        if (!step.more) break
        step = this.core.step({ type: 'tick' }, this.now)
      }
    }
    this.#busy = false
  }

  record(bytes = this.gateway.signed.record.bytes, source = 'link 1'): void {
    this.feed({ type: 'record', source, record: bytes })
  }

  /** Turns the clock, ticking `everyMs`, and offers again what is outstanding every 2 s. */
  async turn(ms: number, everyMs = 100): Promise<void> {
    for (let left = ms; left > 0; left -= everyMs) {
      await this.spool.timers.turn(Math.min(everyMs, left))
      this.feed({ type: 'tick' })
      if (this.now % 2_000 < everyMs) this.offerAgain()
    }
  }

  offerAgain(): void {
    for (const packet of [...this.outstanding.values()])
      if (this.outstanding.has(packet.id)) this.#offer(packet)
  }

  async read(count = 1): Promise<void> {
    this.spool.feed(count)
    await this.turn(1_300)
  }

  answerWith(packets: readonly Uint8Array[]): void {
    for (const packet of packets) {
      this.feed({ type: 'packet', path: { link: 1 }, packet })
    }
  }

  /** Gives the agent what was held back while `down` was off. */
  releaseAnswers(): void {
    this.answerWith(this.#held.splice(0))
  }

  #offer(packet: OutgoingPacket): void {
    if (!this.up) return
    const answers = this.gateway.take(packet.bytes)
    if (this.down) this.answerWith(answers)
    else this.#held.push(...answers)
  }

  #carryOut(effect: CoreEffect): void {
    switch (effect.type) {
      case 'save': {
        const ok = !this.refuseSave.has(effect.file)
        if (ok) {
          if (effect.file === 'key') this.standing = { state: 'member', key: effect.value }
          else if (effect.file === 'site') this.site = effect.value
          else this.session = effect.value
        }
        return this.feed({ type: 'saved', file: effect.file, ok })
      }
      case 'joined':
        this.joined = effect.name
        return
      case 'send':
        this.sent.push(effect.packet)
        if (!effect.packet.once) this.outstanding.set(effect.packet.id, effect.packet)
        return this.#offer(effect.packet)
      case 'settle':
        for (const id of effect.ids) this.outstanding.delete(id)
        return
      case 'prove':
        this.proved.set(hex(effect.key.address), effect.subscribe)
        return
      case 'unprove':
        this.proved.delete(hex(effect.address))
        return
      case 'remove':
        this.proved.delete(hex(effect.key.address))
        this.removed.push(hex(effect.key.address))
        return this.feed({ type: 'mailboxRemoved', address: effect.key.address })
      case 'discard':
        this.discarded++
        return
      case 'lookUp':
        this.lookUps++
        return
      case 'batchInterval':
        this.intervalMs = effect.atLeastMs
        return
      case 'command': {
        const { command } = effect
        this.commands.push(command)
        if (this.reply) this.feed({ type: 'replied', id: command.id, reply: this.reply(command) })
        return
      }
      case 'event':
        this.events.push(effect.code)
        return
      case 'heard':
      case 'serve':
      case 'relays':
        return
    }
  }
}

export async function startRig(options: CoreRigOptions = {}): Promise<CoreRig> {
  return new CoreRig(options).start()
}

/** Joined, answered, rekeyed and quiet. */
export async function joinedRig(options: CoreRigOptions = {}): Promise<CoreRig> {
  const rig = await startRig(options)
  rig.record()
  await rig.turn(5_000)
  return rig
}
