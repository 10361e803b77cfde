import { setTimeout } from 'node:timers/promises'
import { Connection, type Access } from './connection.js'
import { MAX_SITES, SITES_LOOK_MS, SITES_SETTLE_MS, SITES_WAIT_MS } from './constants.js'
import { PaletteError, type Details } from './errors.js'
import { isRecord, parse } from './readings.js'
import type { Status } from './red.js'
import { Requests, type Reply, type Request } from './requests.js'
import { Subscriptions, type Handler } from './subscriptions.js'
import { createTopics, type Topics } from './topics.js'

export interface LinkOptions extends Access {
  readonly template: string
  /** Absent: any site that is heard of. */
  readonly site?: string
  /** A node of the flow failed over a message; the connection and the other nodes go on. */
  readonly onError?: (error: unknown) => void
  readonly random?: () => number
  readonly reconnectCapMs?: number
  readonly replyGraceMs?: number
}

/** Something to show under a node; `key` is one of the gateway node's catalogue. */
export interface Badge extends Pick<Status, 'fill' | 'shape'> {
  readonly key: string
  readonly details: Details
}

/** One gateway as the nodes of a flow see it: a shared connection that begins with its first user. */
export class GatewayLink {
  readonly topics: Topics
  readonly site: string | undefined
  readonly #connection: Connection
  readonly #subscriptions: Subscriptions
  readonly #requests: Requests
  readonly #listeners = new Set<() => void>()
  readonly #sites = new Map<string, string>()
  /** When the broker answered the first subscription of this connection: from there on nothing is missed. */
  #readyAt = NEVER
  #stopped = false

  /** Throws PaletteError `FW_NODERED_SETTINGS_INVALID` for a template that is none. */
  constructor(options: LinkOptions) {
    this.topics = createTopics(options.template)
    this.site = options.site
    this.#connection = new Connection({
      ...options,
      events: {
        changed: () => this.#changed(),
        up: () => this.#subscriptions.up(),
        message: (topic, payload, retained) => this.#subscriptions.message(topic, payload, retained),
        subscribed: (refused) => {
          this.#readyAt = Math.min(this.#readyAt, performance.now())
          this.#subscriptions.refused(refused)
          this.#tell()
        },
      },
    })
    this.#subscriptions = new Subscriptions(this.#connection, options.onError)
    this.#requests = new Requests(
      (topic, payload) => this.#connection.publish(topic, payload),
      options.replyGraceMs,
    )
    this.#subscriptions.add(this.topics.gateway(this.site), (topic, payload) => this.#heard(topic, payload))
  }

  /** Commands without an answer. */
  get openCommands(): number {
    return this.#requests.open
  }

  /** Begins to connect with the first user. `changed` is called whenever `badge` may say something else. */
  join(changed: () => void): () => void {
    this.#listeners.add(changed)
    if (!this.#stopped) this.#connection.start()
    return () => this.#listeners.delete(changed)
  }

  /** Every message that fits, retained values first; returns how to end it. */
  subscribe(filter: string, handler: Handler): () => void {
    return this.#subscriptions.add(filter, handler)
  }

  /** What is wrong with the connection or the gateway, or undefined if all is well. */
  badge(): Badge | undefined {
    const { state } = this.#connection
    switch (state.kind) {
      case 'stopped':
      case 'connecting':
        return CONNECTING
      case 'waiting':
        return { fill: 'red', shape: 'ring', ...state.trouble }
      case 'connected':
        if (this.#readyAt === NEVER) return CONNECTING
        if (!this.#gone()) return undefined
        return { fill: 'red', shape: 'ring', key: 'link.offline', details: {} }
    }
  }

  /** False where the broker does not let this user read what the filter needs. */
  allowed(filter: string): boolean {
    return this.#subscriptions.allowed(filter)
  }

  /** Readies the way back; returns how to end it. */
  expectReplies(): () => void {
    const filter = this.topics.replies(this.site)
    return this.#subscriptions.add(filter, (_topic, payload, retained) =>
      this.#requests.message(payload, retained),
    )
  }

  /** Rejects with PaletteError only. */
  async command(agent: string, request: Omit<Request, 'topic'>): Promise<Reply> {
    while (this.#mayHearOfSites() && !request.signal.aborted) {
      await setTimeout(SITES_LOOK_MS, undefined, { signal: request.signal }).catch(ignore)
    }
    if (this.#readyAt === NEVER) throw new PaletteError('FW_NODERED_NOT_CONNECTED', 'error.not-connected')
    return this.#requests.ask({ ...request, topic: this.topics.command(this.#oneSite(), agent) })
  }

  /** Ends the connection and everything that waits for it. Resolves within half a second. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#listeners.clear()
    await this.#connection.stop()
  }

  /** The connection is young: a site, or a second one, may be just behind. */
  #mayHearOfSites(): boolean {
    if (this.site !== undefined || this.#readyAt === NEVER) return false
    const age = performance.now() - this.#readyAt
    return age < (this.#sites.size === 0 ? SITES_WAIT_MS : SITES_SETTLE_MS)
  }

  /** The site of a command: the one of the settings, else the only one that was heard of. */
  #oneSite(): string {
    const site = this.site ?? this.#sites.keys().next().value
    if (site === undefined) throw new PaletteError('FW_NODERED_SITE_UNKNOWN', 'error.no-site')
    if (this.site === undefined && this.#sites.size > 1) {
      throw new PaletteError('FW_NODERED_SITE_UNKNOWN', 'error.many-sites', { count: this.#sites.size })
    }
    return site
  }

  #heard(topic: string, payload: Buffer): void {
    const site = this.topics.own(topic)?.site
    if (site === undefined) return
    const json = parse(payload.toString('utf8'))
    if (isRecord(json) && typeof json['state'] === 'string') {
      if (this.#sites.has(site) || this.#sites.size < MAX_SITES) this.#sites.set(site, json['state'])
    } else {
      this.#sites.delete(site)
    }
    this.#tell()
  }

  /** The broker runs, and says that no gateway feeds it. */
  #gone(): boolean {
    const states = [...this.#sites.values()]
    return states.length > 0 && states.every((state) => state === 'offline')
  }

  #changed(): void {
    if (this.#connection.state.kind !== 'connected') {
      // What a gateway was before says nothing; the broker has retained what it is.
      this.#sites.clear()
      this.#readyAt = NEVER
      this.#subscriptions.down()
      this.#requests.down()
    }
    this.#tell()
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

const NEVER = Infinity

const CONNECTING: Badge = { fill: 'yellow', shape: 'ring', key: 'link.connecting', details: {} }

function ignore(): void {}
