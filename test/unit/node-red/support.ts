/** Node-RED's runtime by its own test helper, and the gateway's side: its real broker, topics and payloads. */
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { createRequire } from 'node:module'
import { Aedes } from 'aedes'
import { EmbeddedBroker, type EmbeddedBrokerOptions } from '../../../gateway/src/bridge/embedded-broker.js'
import { readingPayload, type BatchFacts } from '../../../gateway/src/bridge/payload.js'
import { createTopics, message } from '../../../gateway/src/bridge/topics.js'
import type { Message } from '../../../gateway/src/bridge/topics.js'
import { root } from '../../support/repository.js'
import { until, within } from '../../support/until.js'
import { bridgeStore, reading, recorder, stream, WALL_MS } from '../gateway/bridge-support.js'

const require = createRequire(import.meta.url)

interface WithTeardown {
  teardown(handler: () => unknown): unknown
}

export const PASSWORD = 'correct horse battery'
export const topics = createTopics('hall')
export const TYPES = ['gateway', 'in', 'agents', 'command', 'agent', 'publish'] as const

/** The part of node-red-node-test-helper that is used here; it brings no types. */
interface Helper {
  startServer(): Promise<void>
  stopServer(): Promise<void>
  load(nodes: readonly unknown[], flow: readonly object[], credentials?: object): Promise<void>
  unload(): Promise<void>
  clearFlows(): Promise<void>
  getNode(id: string): any
  request(): any
  readonly _redNodes: {
    setFlows(flow: readonly object[], credentials: object, type: string): Promise<unknown>
  }
  readonly _events: { once(event: string, listener: () => void): void }
}

type Catalogue = { readonly [key: string]: string | Catalogue }

function textAt(catalogue: Catalogue, key: string): string {
  const found = key
    .split('.')
    .reduce<string | Catalogue | undefined>(
      (at, part) => (typeof at === 'object' ? at[part] : undefined),
      catalogue,
    )
  if (typeof found !== 'string') throw new Error(`the catalogue has no text ${key}`)
  return found
}

export function catalogue(type: string): Catalogue {
  return JSON.parse(
    readFileSync(`${root}node-red-nodes/nodes/locales/en-US/${type}.json`, 'utf8'),
  ) as Catalogue
}

/** A node's file as Node-RED loads it, with the sentences of its English catalogue. */
function loaded(type: string): (red: object) => void {
  const register = require(`${root}node-red-nodes/nodes/${type}.js`) as (red: object) => void
  const texts = catalogue(type)
  const translate = (key: string, details: Readonly<Record<string, unknown>> = {}): string =>
    textAt(texts, key).replace(/__(\w+)__/g, (_, name: string) => String(details[name]))
  return (red) => register(Object.assign(Object.create(red) as object, { _: translate }))
}

export interface Flow {
  readonly helper: Helper
  /** Messages that a node of type `sink` received, by its id. */
  readonly seen: (id: string) => any[]
  /** Every status that a node has had. */
  readonly statuses: (id: string) => { fill?: string; shape?: string; text?: string }[]
  readonly untilStatus: (id: string, text: string | RegExp) => Promise<void>
  readonly untilSeen: (id: string, count: number) => Promise<any[]>
  /** As the editor's button does it; the helper's own gives a busy machine 300 ms. */
  readonly deploy: (flow: readonly object[], type: 'full' | 'nodes') => Promise<void>
}

export const CREDENTIALS = { gw: { user: 'fieldwhisper', password: PASSWORD } }
export const TAB = { id: 'tab', type: 'tab' }

export function gatewayNode(port: number, change: object = {}): object {
  return {
    id: 'gw',
    type: 'fieldwhisper-gateway',
    name: '',
    url: `mqtt://127.0.0.1:${port}`,
    tls: '',
    site: '',
    topic: '',
    ...change,
  }
}

export function node(id: string, type: string, change: object = {}): object {
  return { id, z: 'tab', type, name: '', gateway: 'gw', wires: [], ...change }
}

export function sink(id: string): object {
  return { id, z: 'tab', type: 'sink', wires: [] }
}

/** Starts Node-RED with a flow; unloaded when the test ends. */
export async function run(
  t: WithTeardown,
  flow: readonly object[],
  credentials: object = CREDENTIALS,
): Promise<Flow> {
  const helper = require('node-red-node-test-helper') as Helper
  const seen = new Map<string, any[]>()
  const sinks = (red: any): void => {
    red.nodes.registerType('sink', function (this: any, config: { id: string }) {
      red.nodes.createNode(this, config)
      this.on('input', (message: object, _send: unknown, done: () => void) => {
        seen.set(config.id, [...(seen.get(config.id) ?? []), message])
        done()
      })
    })
  }
  await helper.startServer()
  t.teardown(async () => {
    await helper.unload()
    await helper.stopServer()
  })
  await helper.load([...TYPES.map((type) => loaded(`fieldwhisper-${type}`)), sinks], flow, credentials)
  const statuses: Flow['statuses'] = (id) =>
    helper
      .getNode(id)
      .status.getCalls()
      .filter((call: any) => call.thisValue?.id === id)
      .map((call: any) => call.args[0])
  return {
    helper,
    seen: (id) => seen.get(id) ?? [],
    statuses,
    untilStatus: async (id, text) => {
      const fits = (found = ''): boolean => (typeof text === 'string' ? found === text : text.test(found))
      await until(() => fits(statuses(id).at(-1)?.text), {
        withinMs: 10_000,
        what: `the status ${String(text)} of ${id}`,
        everyMs: 2,
      })
    },
    deploy: async (changed, type) => {
      const started = new Promise<void>((resolve) => helper._events.once('flows:started', resolve))
      await helper._redNodes.setFlows(changed, credentials, type)
      await within(started, { withinMs: 10_000, what: 'the flows to be started' })
    },
    untilSeen: async (id, count) => {
      await until(() => (seen.get(id)?.length ?? 0) >= count, {
        withinMs: 10_000,
        what: `${count} messages at ${id}`,
        everyMs: 2,
      })
      return seen.get(id)!
    },
  }
}

/** The gateway's own broker, as the gateway runs it. */
export async function startBroker(t: WithTeardown, change: Partial<EmbeddedBrokerOptions> = {}) {
  const reporter = recorder()
  const broker = new EmbeddedBroker({
    host: '127.0.0.1',
    port: 0,
    password: PASSWORD,
    root: topics.root,
    store: bridgeStore(),
    reporter,
    ...change,
  })
  let stopped = false
  const stop = async (): Promise<void> => {
    if (!stopped) await broker.stop(gatewayState('offline'))
    stopped = true
  }
  t.teardown(stop)
  await broker.start({ up: () => undefined, down: () => undefined })
  await until(() => broker.connected, { withinMs: 10_000, what: 'the broker to be up', everyMs: 2 })
  const port = Number(broker.status().address.split(':').at(-1))
  return { broker, reporter, port, stop, clients: () => broker.status().clients }
}

export function gatewayState(state: 'online' | 'offline'): Message {
  return message(topics.gateway, { state, time: '2026-03-04T05:06:07.890Z' }, true)
}

/** What the gateway publishes for one reading. `number` makes its id. */
export function told(
  agent: string,
  name: string,
  value: number | string | boolean | Uint8Array,
  number: number,
  change: Partial<BatchFacts> = {},
): Message {
  const batch = {
    stream: stream(1),
    number,
    path: 'lan',
    historical: false,
    receivedWallMs: WALL_MS,
    ...change,
  } as const
  return message(
    topics.reading(agent, name),
    readingPayload(batch, 0, reading({ name, value })),
    !batch.historical,
  )
}

export interface Command {
  readonly agent: string
  readonly command: string
  readonly args?: unknown
  readonly ttl: string
  readonly correlation: string
}

/**
 * A broker with a gateway's side that the test plays: `answer` gets each request and says the reply, or nothing.
 * Closing `cut` ends every connection at once.
 */
export async function commandBroker(
  t: WithTeardown,
  answer: (request: Command) => object | undefined,
  tls?: TlsOptions,
) {
  const broker = new Aedes()
  await broker.listen()
  const sockets = new Set<Socket>()
  const requests: Command[] = []
  const publish = (topic: string, json: object, retain = false): void => {
    const payload = Buffer.from(JSON.stringify(json))
    broker.publish({ cmd: 'publish', qos: 1, topic, payload, retain, dup: false }, () => undefined)
  }
  broker.on('publish', ({ topic, payload }, client) => {
    const agent = /^fieldwhisper\/hall\/\$agents\/([^/]+)\/command$/.exec(topic)?.[1]
    if (client === null || agent === undefined) return
    const request = { agent, ...(JSON.parse(String(payload)) as Omit<Command, 'agent'>) }
    requests.push(request)
    const reply = answer(request)
    const { command, correlation } = request
    if (reply) publish(topic.replace(/command$/, 'reply'), { command, correlation, ...reply })
  })
  const accept = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
    broker.handle(socket)
  }
  const server = tls ? createTlsServer(tls, accept) : createServer(accept)
  server.listen(0, '127.0.0.1')
  await until(() => server.listening, { withinMs: 5_000, what: 'the port', everyMs: 2 })
  publish('fieldwhisper/hall/$gateway', { state: 'online' }, true)
  const cut = (): void => sockets.forEach((socket) => socket.destroy())
  t.teardown(async () => {
    cut()
    await new Promise<void>((resolve) => broker.close(resolve))
    await new Promise((resolve) => server.close(resolve))
  })
  return { broker, port: (server.address() as AddressInfo).port, requests, publish, cut, sockets }
}
