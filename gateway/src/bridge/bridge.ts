import { errorText, type Clock, type Reporter, type Store, type Write } from '@fieldwhisper/host'
import { DEFAULT_TTL_MS } from '../command.js'
import { HomeAnnouncer } from '../home-assistant/announcer.js'
import type { EdgeCommand } from '../sparkplug/events.js'
import { BrokerMemory } from './broker-memory.js'
import { embeddedPassword, passwordFile } from './broker-password.js'
import { loadBrokerUsers } from './broker-users.js'
import { CommandDesk, type CommandDeskOptions } from './command-desk.js'
import { EMBEDDED_USER, FENCE_TOPIC, MAX_WAITING_NOTES, REPORT_INTERVAL_MS } from './constants.js'
import { EmbeddedBroker } from './embedded-broker.js'
import { Expiry } from './expiry.js'
import { externalLogin } from './external-login.js'
import { MqttOutput } from './mqtt-output.js'
import { OUTBOX_TABLE, sequenceOf } from './outbox-entry.js'
import type { DecodeBatch } from './outbox-source.js'
import { Outbox, type OutboxStatus } from './outbox.js'
import type { Output, OutputStatus } from './output.js'
import { readingFormat } from './payload-format.js'
import { rfc3339, type AgentStatusPayload, type EventPayload } from './payload.js'
import { limitedReporter } from './reports.js'
import type { MqttSettings, SparkplugSettings } from './settings.js'
import { SparkplugLane, type SparkplugStatus } from './sparkplug-lane.js'
import {
  createTopics,
  escapeLevel,
  message,
  removal,
  type Labels,
  type Message,
  type Topics,
} from './topics.js'

export interface BridgeOptions {
  /** Opened with `BRIDGE_TABLES`. */
  readonly store: Store
  readonly stateDir: string
  readonly site: string
  /** Stays the same over restarts and is known to nobody else: names the gateway at an external broker. */
  readonly clientId: string
  readonly mqtt: MqttSettings
  readonly labels: Labels
  /** Of this program. */
  readonly version: string
  readonly outbox: { readonly maxBytes: number; readonly keepSentMs: number }
  readonly reporter: Reporter
  readonly clock: Clock
  /** Counted life of this gateway in milliseconds (`RunningTime.nowMs`). */
  readonly runningMs: () => number
  /** `decodeBatch` of @fieldwhisper/protocol. */
  readonly decode: DecodeBatch
}

export interface BridgeStatus {
  readonly broker: OutputStatus
  /** For subscribers: where to log in and what to listen to. */
  readonly user?: string
  readonly passwordFile?: string
  readonly topics: string
  readonly outbox: OutboxStatus
  readonly sparkplug?: SparkplugStatus
}

/** What runs between `start` and `stop`. */
interface Parts {
  readonly topics: Topics
  readonly output: Output
  readonly outbox: Outbox
  readonly home?: HomeAnnouncer
  sparkplug?: SparkplugLane
}

/**
 * From committed batches to MQTT. The constructor touches nothing; `start` opens the outbox and begins to connect, for ever.
 * The core writes with `outboxWrite` in its own transaction, then calls `committed`.
 */
export class Bridge {
  readonly #options: BridgeOptions
  #run: CommandDeskOptions['run'] | undefined
  readonly #notes: Message[] = []
  #parts: Parts | undefined

  constructor(options: BridgeOptions) {
    this.#options = options
  }

  /**
   * Resolves once everything is under way, connected or not.
   * Throws GatewayError `FW_TOPIC_TEMPLATE_INVALID`, `FW_TOPIC_NAME_INVALID` or `FW_MQTT_PASSWORD_MISSING`, HostError
   * `FW_FILE_FAILED` (file of the password or of the users) or `FW_FILE_NEWER` (users).
   */
  async start(): Promise<void> {
    const { site, mqtt, labels, store, clock, runningMs, decode } = this.#options
    const reporter = limitedReporter(this.#options.reporter, REPORT_INTERVAL_MS, () => clock.monoMs())
    const topics = createTopics(site, mqtt.topic, labels)
    const output = this.#output(topics, reporter)
    const home = this.#home(topics, output)
    const outbox = new Outbox({
      store,
      output,
      topics,
      reporter,
      monoMs: () => clock.monoMs(),
      runningMs,
      decode,
      format: readingFormat(mqtt.payload),
      expiry: new Expiry(mqtt.expire),
      ...(home && { told: (...what: Parameters<HomeAnnouncer['told']>) => home.told(...what) }),
      withProperties: 'url' in mqtt && mqtt.version !== '3.1.1',
      wallMs: () => clock.wallMs(),
      ...(mqtt.sparkplug && { lanes: ['sparkplug'] as const }),
      replay: mqtt.replay,
      ...this.#options.outbox,
    })
    outbox.retained.load(store, (told) => void output.restore?.(told))
    outbox.start()
    const parts: Parts = { topics, output, outbox, ...(home && { home }) }
    this.#parts = parts
    // The embedded broker is told by `restore`.
    const memory = new BrokerMemory(() => outbox.retainAgain())
    if ('url' in mqtt) output.subscribe(topics.gateway, (_topic, payload) => memory.heard(payload))
    await output.start({
      up: () => {
        const state = this.#stateMessage(topics, 'online')
        memory.began(state.payload)
        this.#send(state)
        for (const note of this.#notes.splice(0)) this.#send(note)
        home?.again()
        outbox.up()
      },
      down: () => outbox.down(),
    })
    if (mqtt.sparkplug) await this.#startSparkplug(parts, mqtt.sparkplug)
  }

  /** Gives the broker 2 s for what it has not acknowledged; the rest is published after the next start. */
  async stop(): Promise<void> {
    const parts = this.#parts
    if (!parts) return
    this.#parts = undefined
    await parts.sparkplug?.stop()
    await parts.outbox.stop()
    await parts.output.stop(this.#stateMessage(parts.topics, 'offline'))
  }

  /** For the core, after a commit with writes of `outboxWrite` or `outboxEventWrite`. */
  committed(writes: readonly Write[]): void {
    this.#parts?.outbox.committed(writes)
    const last = writes.findLast(({ table, value }) => table === OUTBOX_TABLE && value !== null)
    if (last) this.#parts?.sparkplug?.committed(sequenceOf(last.key))
  }

  /** The outbox holds as many unsent bytes as it may: commit no more, and acknowledge nothing. */
  get full(): boolean {
    return this.#parts?.outbox.space.full ?? false
  }

  /** Calls back whenever `full` ends; returns how to be called no more. Call it after `start`. */
  onRoom(listener: () => void): () => void {
    return this.#parts?.outbox.space.onRoom(listener) ?? nothing
  }

  /** Bytes of the outbox, sent and unsent. */
  get outboxBytes(): number {
    return this.#parts?.outbox.space.bytes ?? 0
  }

  /** Publishes an event that may be lost: while there is no broker, only the newest are kept. Use `outboxEventWrite` else. */
  tellEvent(event: Omit<EventPayload, 'time'>): void {
    const topics = this.#parts?.topics
    if (topics) this.#note(message(topics.events, { ...event, time: this.#now() }, false))
  }

  /** Whether the broker is there at the moment. */
  get connected(): boolean {
    return this.#parts?.output.connected ?? false
  }

  /** Retained until it is told again; without a status nothing is retained any more. Not said where there is no broker. */
  tellAgent(agent: string, status?: AgentStatusPayload): void {
    if (!this.connected) return
    const { sparkplug } = this.#parts!
    if (status?.state === 'online' || status?.state === 'late') sparkplug?.agentHere(agent)
    else sparkplug?.agentGone(agent, status === undefined)
    const topic = this.#parts!.topics.agent(agent)
    this.#send(status ? message(topic, status, true) : removal(topic))
  }

  /** Hears commands from now on and gives them to `run`. Call it once, after `start`. */
  takeCommands(run: CommandDeskOptions['run']): void {
    const parts = this.#parts
    if (!parts) return
    const { topics, output } = parts
    const { reporter, clock } = this.#options
    const publish = (reply: Message): void => this.#note(reply)
    this.#run = run
    const desk = new CommandDesk({ topics, publish, run, reporter, wallMs: () => clock.wallMs() })
    output.subscribe(topics.commands, (...received) => desk.received(...received))
  }

  /** The users of the embedded broker on disk are others now: in force at once. */
  usersChanged(): void {
    const output = this.#parts?.output
    const { stateDir, reporter } = this.#options
    if (output instanceof EmbeddedBroker) output.setUsers(loadBrokerUsers(stateDir, reporter))
  }

  /** Removes the current values of an agent (id in hex) that was revoked. */
  forgetAgent(agent: string): void {
    this.#parts?.outbox.forgetAgent(agent)
    this.#parts?.home?.forget(agent)
  }

  /** To be called every second or so. */
  step(): void {
    if (this.connected) this.#parts?.home?.step()
  }

  /** Undefined before `start` and after `stop`. */
  status(): BridgeStatus | undefined {
    const parts = this.#parts
    if (!parts) return undefined
    const { mqtt, stateDir } = this.#options
    const login =
      'embedded' in mqtt
        ? { user: EMBEDDED_USER, passwordFile: passwordFile(stateDir) }
        : { ...(mqtt.user !== undefined && { user: mqtt.user }) }
    return {
      broker: parts.output.status(),
      ...login,
      topics: parts.topics.readings,
      outbox: parts.outbox.status(),
      ...(parts.sparkplug && { sparkplug: parts.sparkplug.status() }),
    }
  }

  /** The edge node speaks to the same broker, over a connection of its own: its will says that the node is dead. */
  async #startSparkplug(parts: Parts, settings: SparkplugSettings): Promise<void> {
    const { site, mqtt, store, stateDir, clientId, clock, decode, reporter } = this.#options
    const { group = site, edge, hostId, acceptLegacyState } = settings
    const { output, outbox } = parts
    const login =
      'embedded' in mqtt
        ? {
            // Its port is known when it listens.
            url: () => output.status().address,
            version: '3.1.1' as const,
            user: EMBEDDED_USER,
            password: embeddedPassword(stateDir, reporter),
          }
        : externalLogin(mqtt)
    const lane = new SparkplugLane({
      store,
      edge: {
        group,
        edge,
        // Outside the topics that only the gateway itself may publish under.
        fenceTopic: `${FENCE_TOPIC}/${escapeLevel(group)}/${escapeLevel(edge)}`,
        acceptLegacyState,
        ...(hostId !== undefined && { hostId }),
      },
      broker: { ...login, clientId: `${clientId}-sparkplug` },
      marks: outbox.marks,
      decode,
      current: outbox.retained.places(),
      replay: mqtt.replay,
      reporter: limitedReporter(reporter, REPORT_INTERVAL_MS, () => clock.monoMs()),
      clock,
      command: (command) => this.#written(command),
    })
    parts.sparkplug = lane
    await lane.start()
  }

  /** A host writes a value: the agent's command of that name, which its own configuration has to allow. */
  #written({ agent, metric, value }: EdgeCommand): void {
    const { reporter } = this.#options
    const refused = (reason: string): void =>
      reporter.event(
        'warn',
        'FW_SPARKPLUG_COMMAND_REFUSED',
        `A Sparkplug command to ${agent} was not sent: ${reason}`,
        {
          agent,
          metric,
        },
      )
    if (value instanceof Uint8Array) return refused('devices take no bytes')
    const order = { agent, command: 'write', args: { output: metric, value }, ttlMs: DEFAULT_TTL_MS }
    this.#run?.(order).catch((error: unknown) => refused(errorText(error)))
  }

  #home(topics: Topics, output: Output): HomeAnnouncer | undefined {
    const { mqtt, labels, reporter, clock, version } = this.#options
    if (!mqtt.homeAssistant) return undefined
    const { prefix } = mqtt.homeAssistant
    const expiry = new Expiry(mqtt.expire)
    const home = new HomeAnnouncer({
      site: { prefix, version, gatewayTopic: topics.gateway, agentTopic: (name) => topics.agent(name) },
      publish: (message) => this.#note(message),
      areaOf: (agent) => (Object.hasOwn(labels, agent) ? labels[agent]!['area'] : undefined),
      expireAfterMs: (name) => expiry.afterMs(name),
      monoMs: () => clock.monoMs(),
      tooMany: (agent, limit) => {
        const text = `${agent} has more than ${limit} names of readings: Home Assistant is told of the first ${limit}`
        reporter.event('warn', 'FW_HOME_ASSISTANT_TOO_MANY', text, { agent, limit })
      },
    })
    // What it publishes when it has started.
    output.subscribe(`${prefix}/status`, (_topic, payload) => {
      if (Buffer.from(payload).toString() === 'online') home.again()
    })
    return home
  }

  #output(topics: Topics, reporter: Reporter): Output {
    const { mqtt, store, stateDir, clientId, clock } = this.#options
    if ('embedded' in mqtt) {
      const password = embeddedPassword(stateDir, reporter)
      const users = loadBrokerUsers(stateDir, reporter)
      return new EmbeddedBroker({ ...mqtt.embedded, password, users, root: topics.root, store, reporter })
    }
    const will = message(topics.gateway, { state: 'offline' }, true)
    return new MqttOutput({
      ...externalLogin(mqtt),
      clientId,
      will,
      reporter,
      monoMs: () => clock.monoMs(),
    })
  }

  #note(note: Message): void {
    if (this.#parts?.output.connected) return this.#send(note)
    this.#notes.push(note)
    if (this.#notes.length > MAX_WAITING_NOTES) this.#notes.shift()
  }

  #send(note: Message): void {
    this.#parts?.output.publish(note).catch(nothing)
  }

  #stateMessage(topics: Topics, state: 'online' | 'offline'): Message {
    return message(topics.gateway, { state, time: this.#now() }, true)
  }

  #now(): string {
    return rfc3339(this.#options.clock.wallMs()) ?? new Date(0).toISOString()
  }
}

function nothing(): void {}
