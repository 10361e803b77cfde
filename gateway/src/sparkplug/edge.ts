import { REBIRTH_INTERVAL_MS, SEQUENCE_MODULUS } from './constants.js'
import { deviceCommands, nodeCommand, retainedCommand } from './commands.js'
import { Devices, refresh } from './devices.js'
import type { EdgeEffect, EdgeEvent, EdgeMessage, Now, Report } from './events.js'
import { Fences } from './fences.js'
import { HostWatch, parseLegacyState, parseState, type HostState } from './host-state.js'
import { sparkplugTopics, type SparkplugTopics } from './ids.js'
import { nodeDeath } from './messages.js'
import { Session } from './session.js'
import { dataTypeOf } from './values.js'

export interface EdgeOptions {
  /** Names of the group and of this edge node, together unique at the broker. */
  readonly group: string
  readonly edge: string
  /** Where fences go: a topic that only this gateway writes. */
  readonly fenceTopic: string
  /** Births wait for this host, and the node leaves when it does. Absent: no host is waited for. */
  readonly hostId?: string
  /** Believe the host's state in the form of Sparkplug 2.2 as well. */
  readonly acceptLegacyState?: boolean
  /** As the last effect `connect` had it; absent before the first. */
  readonly bdSeq?: number
}

/*
 *           dial              connected
 *   idle ─────────► dialling ───────────┬── a host is named ──► waiting ◄─┐
 *    ▲                                  │                          │      │ (a new connection)
 *    │                                  └── no host ──► born ◄─────┘ host online
 *    │ disconnected                                      │  ▲
 *    │ (from everywhere)                                 │  └── NCMD Rebirth: all births again, same bdSeq
 *    └──────────────── leaving ◄─────────────────────────┘ host offline, or stop: NDEATH, DISCONNECT
 */
type Phase =
  | { readonly kind: 'idle' }
  | { readonly kind: 'dialling'; readonly bdSeq: number }
  | { readonly kind: 'waiting'; readonly bdSeq: number; readonly host: HostWatch }
  | {
      readonly kind: 'born'
      readonly session: Session
      readonly host: HostWatch
      readonly rebirthDue: boolean
    }
  | { readonly kind: 'leaving' }

/**
 * A Sparkplug B 3.0 edge node with one device an agent. It has no clock and no connection: each event is answered with what
 * is to be done, in order. Everything that a host is told goes through one connection at a time, and only what a fence has
 * proven counts as delivered.
 */
export class EdgeNode {
  readonly #options: EdgeOptions
  readonly #topics: SparkplugTopics
  readonly #devices = new Devices()
  readonly #fences = new Fences()
  #phase: Phase = { kind: 'idle' }
  #bdSeq: number | undefined
  #committed = -Infinity

  /** Throws GatewayError `FW_SPARKPLUG_ID_INVALID`, `FW_TOPIC_NAME_INVALID`. */
  constructor(options: EdgeOptions) {
    this.#options = options
    this.#topics = sparkplugTopics(options.group, options.edge, options.hostId)
    this.#bdSeq = options.bdSeq
  }

  get phase(): Phase['kind'] {
    return this.#phase.kind
  }

  /** The next batch may be handed over. */
  get ready(): boolean {
    return this.#phase.kind === 'born' && !this.#phase.rebirthDue && !this.#fences.full
  }

  /** Throws an Error for a batch while not `ready`: what was not taken must not be counted as sent. */
  handle(event: EdgeEvent, now: Now): readonly EdgeEffect[] {
    switch (event.kind) {
      case 'dial':
        return this.#dial()
      case 'connected':
        return this.#connected(now)
      case 'disconnected':
        this.#end()
        return []
      case 'message':
        return this.#message(event.topic, event.payload, event.retained, now)
      case 'committed':
        this.#committed = Math.max(this.#committed, event.position)
        return []
      case 'current':
        return this.#current(event, now)
      case 'batch':
        return this.#batch(event, now)
      case 'skip':
        if (!this.ready) throw new Error('The edge node takes nothing now.')
        this.#fences.count(event.position, 0)
        return []
      case 'idle':
        return this.#phase.kind === 'born' ? this.#phase.session.fence(now) : []
      case 'agentHere':
        return this.#here(event.agent, now)
      case 'agentGone':
        return this.#gone(event.agent, event.revoked, now)
      case 'fenced':
        return this.#fenced(event.fence)
      case 'wake':
        return this.#phase.kind === 'born' && this.#phase.rebirthDue ? this.#rebirth(now) : []
      case 'stop':
        return this.#leave()
    }
  }

  #dial(): EdgeEffect[] {
    this.#end()
    const bdSeq = this.#bdSeq === undefined ? 0 : (this.#bdSeq + 1) % SEQUENCE_MODULUS
    this.#bdSeq = bdSeq
    this.#phase = { kind: 'dialling', bdSeq }
    return [{ kind: 'connect', bdSeq, will: this.#death(bdSeq) }]
  }

  #connected(now: Now): EdgeEffect[] {
    if (this.#phase.kind !== 'dialling') return []
    const { bdSeq } = this.#phase
    const { acceptLegacyState } = this.#options
    const { commands, state, legacyState } = this.#topics
    const topics = [this.#topics.node('NCMD'), commands]
    if (state !== undefined) topics.push(state)
    if (legacyState !== undefined && acceptLegacyState) topics.push(legacyState)
    const subscribe: EdgeEffect = { kind: 'subscribe', topics, qos: 1 }
    const host = new HostWatch()
    if (state !== undefined) {
      this.#phase = { kind: 'waiting', bdSeq, host }
      return [subscribe]
    }
    return [subscribe, ...this.#birth(bdSeq, host, now)]
  }

  #birth(bdSeq: number, host: HostWatch, now: Now): EdgeEffect[] {
    const { fenceTopic } = this.#options
    const parts = { topics: this.#topics, devices: this.#devices, fences: this.#fences, fenceTopic }
    const session = new Session(parts, bdSeq, this.#committed)
    this.#phase = { kind: 'born', session, host, rebirthDue: false }
    return session.birth(now)
  }

  #message(topic: string, payload: Uint8Array, retained: boolean, now: Now): readonly EdgeEffect[] {
    const { state, legacyState } = this.#topics
    if (topic === state) return this.#hostSaid(parseState(payload), now)
    if (topic === legacyState && this.#options.acceptLegacyState) {
      return this.#hostSaid(parseLegacyState(payload), now)
    }
    if (this.#phase.kind !== 'born') return []
    const device = this.#topics.commandedDevice(topic)
    if (device === undefined && topic !== this.#topics.node('NCMD')) return []
    if (retained) return [retainedCommand()]
    if (device !== undefined) return deviceCommands(this.#devices, device, payload)
    const { rebirth, reports } = nodeCommand(payload)
    return rebirth ? [...reports, ...this.#rebirthAsked(now)] : reports
  }

  #hostSaid(state: HostState | undefined, now: Now): readonly EdgeEffect[] {
    const phase = this.#phase
    if (phase.kind !== 'waiting' && phase.kind !== 'born') return []
    if (!state) return [stateInvalid()]
    if (!phase.host.accept(state)) return []
    if (phase.kind === 'waiting') return state.online ? this.#birth(phase.bdSeq, phase.host, now) : []
    return state.online ? [] : this.#leave()
  }

  /** At once, or when the last birth is old enough; until then no data is taken. */
  #rebirthAsked(now: Now): EdgeEffect[] {
    if (this.#phase.kind !== 'born' || this.#phase.rebirthDue) return []
    const inMs = this.#phase.session.bornAtMs + REBIRTH_INTERVAL_MS - now.monoMs
    if (inMs <= 0) return this.#rebirth(now)
    this.#phase = { ...this.#phase, rebirthDue: true }
    return [{ kind: 'wake', inMs }]
  }

  #rebirth(now: Now): EdgeEffect[] {
    if (this.#phase.kind !== 'born') return []
    this.#phase = { ...this.#phase, rebirthDue: false }
    return this.#phase.session.birth(now)
  }

  #current({ agent, readings }: Extract<EdgeEvent, { kind: 'current' }>, now: Now): EdgeEffect[] {
    const device = this.#devices.make(agent)
    for (const reading of readings) {
      const { name, value, unit } = reading
      const metric = device.metrics.get(name) ?? this.#devices.metric(device, name, dataTypeOf(value), unit)
      if (metric) refresh(metric, reading, now.wallMs)
    }
    return []
  }

  #batch(batch: Extract<EdgeEvent, { kind: 'batch' }>, now: Now): EdgeEffect[] {
    if (this.#phase.kind !== 'born' || !this.ready) throw new Error('The edge node takes no batch now.')
    return this.#phase.session.batch(batch, now)
  }

  #here(agent: string, now: Now): readonly EdgeEffect[] {
    const device = this.#devices.make(agent)
    device.alive = true
    return this.#phase.kind === 'born' ? this.#phase.session.here(device, now) : []
  }

  #gone(agent: string, revoked: boolean, now: Now): EdgeEffect[] {
    const device = this.#devices.find(agent)
    if (!device) return []
    device.alive = false
    const phase = this.#phase
    const effects = phase.kind === 'born' && device.born ? [phase.session.death(device, now)] : []
    if (revoked) this.#devices.forget(agent)
    return effects
  }

  #fenced(fence: number): EdgeEffect[] {
    const position = this.#fences.acknowledged(fence)
    return position === undefined ? [] : [{ kind: 'through', position }]
  }

  /** An own farewell takes the will's place, since the broker does not say it after DISCONNECT. */
  #leave(): EdgeEffect[] {
    const phase = this.#phase
    if (phase.kind === 'idle' || phase.kind === 'leaving') return []
    this.#end()
    this.#phase = { kind: 'leaving' }
    if (phase.kind === 'dialling') return [{ kind: 'disconnect' }]
    const bdSeq = phase.kind === 'born' ? phase.session.bdSeq : phase.bdSeq
    return [{ kind: 'publish', ...this.#death(bdSeq) }, { kind: 'disconnect' }]
  }

  #end(): void {
    this.#phase = { kind: 'idle' }
    this.#fences.clear()
  }

  #death(bdSeq: number): EdgeMessage {
    return { topic: this.#topics.node('NDEATH'), payload: nodeDeath(bdSeq), qos: 1, retain: false }
  }
}

function stateInvalid(): Report {
  return {
    kind: 'report',
    level: 'warn',
    code: 'FW_SPARKPLUG_STATE_INVALID',
    message: 'The state of the Sparkplug primary host is not in the form of Sparkplug 3.0; it is ignored.',
  }
}
