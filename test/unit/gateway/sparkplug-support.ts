import { EdgeNode, type EdgeOptions } from '../../../gateway/src/sparkplug/edge.js'
import type {
  EdgeEffect,
  EdgeEvent,
  EdgeMessage,
  Now,
  Publish,
} from '../../../gateway/src/sparkplug/events.js'
import { encodePayload, type Metric } from '../../../gateway/src/sparkplug/codec.js'
import type { EdgeReading } from '../../../gateway/src/sparkplug/values.js'
import { readPayload, type ReadPayload } from '../../support/protobuf-reader.js'

export const WALL_MS = 1_800_000_000_000

export const OPTIONS: EdgeOptions = {
  group: 'plant',
  edge: 'gw-1',
  fenceTopic: 'fieldwhisper/plant/$sparkplug',
}

/** `spBv1.0/plant/KIND/gw-1[/device]` */
export const topic = (kind: string, device?: string): string =>
  `spBv1.0/plant/${kind}/gw-1${device === undefined ? '' : `/${device}`}`

export interface Sent {
  readonly kind: string
  readonly device?: string
  readonly publish: EdgeMessage
  readonly payload: ReadPayload
}

/** An edge node with a clock, which keeps what it says. */
export class Bench {
  readonly node: EdgeNode
  now: Now = { monoMs: 1_000_000, wallMs: WALL_MS }
  position = 0
  will: EdgeMessage | undefined

  constructor(options: Partial<EdgeOptions> = {}) {
    this.node = new EdgeNode({ ...OPTIONS, ...options })
  }

  do(event: EdgeEvent): readonly EdgeEffect[] {
    const effects = this.node.handle(event, this.now)
    for (const effect of effects) if (effect.kind === 'connect') this.will = effect.will
    return effects
  }

  later(ms: number): void {
    this.now = { monoMs: this.now.monoMs + ms, wallMs: this.now.wallMs + ms }
  }

  connect(): readonly EdgeEffect[] {
    this.do({ kind: 'dial' })
    return this.do({ kind: 'connected' })
  }

  /** Commits a batch and hands it over. */
  batch(agent: string, readings: readonly EdgeReading[], historical = false): readonly EdgeEffect[] {
    this.position += 1
    this.do({ kind: 'committed', position: this.position })
    return this.do({ kind: 'batch', position: this.position, agent, historical, readings })
  }

  say(at: string, payload: Uint8Array | string, retained = false): readonly EdgeEffect[] {
    return this.do({ kind: 'message', topic: at, payload: Buffer.from(payload), retained })
  }

  command(at: string, ...metrics: Metric[]): readonly EdgeEffect[] {
    return this.say(at, encodePayload({ timestamp: WALL_MS, metrics }))
  }

  rebirth(): readonly EdgeEffect[] {
    return this.command(topic('NCMD'), {
      name: 'Node Control/Rebirth',
      value: { kind: 'boolean', value: true },
    })
  }
}

/** What goes out under the namespace, read back. */
export function sent(effects: readonly EdgeEffect[]): Sent[] {
  return effects
    .filter((effect): effect is Publish => effect.kind === 'publish' && effect.fence === undefined)
    .map((publish) => {
      const [, , kind = '', , device] = publish.topic.split('/')
      return { kind, publish, payload: readPayload(publish.payload), ...(device !== undefined && { device }) }
    })
}

/** `NBIRTH`, `DBIRTH pump`, in order. */
export function kinds(effects: readonly EdgeEffect[]): string[] {
  return sent(effects).map(({ kind, device }) => (device === undefined ? kind : `${kind} ${device}`))
}

export function fences(effects: readonly EdgeEffect[]): number[] {
  return effects.flatMap((effect) =>
    effect.kind === 'publish' && effect.fence !== undefined ? [effect.fence] : [],
  )
}

export function reports(effects: readonly EdgeEffect[]): string[] {
  return effects.flatMap((effect) => (effect.kind === 'report' ? [effect.code] : []))
}

export function reading(
  name: string,
  value: EdgeReading['value'],
  { agoMs = 0, ...more }: { agoMs?: number; unit?: string; quality?: EdgeReading['quality'] } = {},
): EdgeReading {
  return { name, value, quality: 'good', timeMs: WALL_MS - agoMs, ...more }
}
