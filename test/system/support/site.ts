import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { cli, runJson, untilStatus, type Place, type Program } from './process.js'

/** A fast site for tests: short batches, beacons only where the test's own networks are. */
export const QUICK_BATCHES = { interval: '250ms' }

export interface AgentState {
  readonly name: string | null
  readonly joined: boolean
  readonly spool: {
    readonly accepted: number
    readonly acked: number
    readonly held: number
    readonly dropped: number
  }
  /** Packets sealed and not answered, the hello among them. */
  readonly inFlight: number
  readonly lost: number
  readonly paths: {
    readonly lan: { readonly links: number }
    readonly relays: readonly { readonly connected: boolean }[]
  }
}

interface Options {
  readonly folder: string
}

/** One of the project's programs with a state folder and a configuration of its own. */
class Member {
  readonly stateDir: string
  readonly #program: 'agent' | 'gateway' | 'relay'
  readonly #place: Place
  readonly #config: string

  constructor(
    program: 'agent' | 'gateway' | 'relay',
    place: Place,
    name: string,
    config: object,
    { folder }: Options,
  ) {
    this.#program = program
    this.#place = place
    this.stateDir = join(folder, name)
    this.#config = join(folder, `${name}.yaml`)
    this.configure(config)
  }

  configure(config: object): void {
    writeFileSync(this.#config, stringify(config), { mode: 0o600 })
  }

  spawn(...args: readonly string[]): Program {
    return this.spawnWith({}, ...args)
  }

  /** With options of Node: `{ NODE_OPTIONS: ... }`. */
  spawnWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): Program {
    const [node, program] = cli(this.#program)
    return this.#place.spawn(node, [program, ...args, ...this.#where(args[0]!)], {
      name: `${this.#program} ${args[0]!}`,
      env,
    })
  }

  /** Runs a command to its end; throws unless its exit code is 0. Returns what it printed. */
  async command(...args: readonly string[]): Promise<string> {
    const [node, program] = cli(this.#program)
    const done = await this.#place.run(node, [program, ...args, ...this.#where(args[0]!)], {
      withinMs: 60_000,
    })
    if (done.code !== 0)
      throw new Error(`${this.#program} ${args[0]!} ended with ${done.code}: ${done.stderr}`)
    return done.stdout.trim()
  }

  async status<T>(): Promise<T> {
    const [node, program] = cli(this.#program)
    const { json } = await runJson(this.#place, node, [program, 'status', '--json', '--state', this.stateDir])
    return json as T
  }

  /** Waits for a status of the running program that is as wanted; until it runs there is none. */
  untilStatus<T extends object>(
    accept: (status: T) => boolean,
    wait: { withinMs: number; what: string },
  ): Promise<T> {
    const runs = (status: T & { running?: boolean }): boolean => status.running !== false
    return untilStatus<T>(
      async () => ({ json: await this.status() }),
      (status) => runs(status) && accept(status),
      wait,
    )
  }

  #where(command: string): string[] {
    const state = ['--state', this.stateDir]
    return command === 'init' || command === 'status' ? state : [...state, '--config', this.#config]
  }
}

export class Relay extends Member {
  constructor(place: Place, options: Options, config: object = {}) {
    super('relay', place, 'relay', config, options)
  }
}

export class Gateway extends Member {
  constructor(place: Place, options: Options, config: object = {}) {
    super('gateway', place, 'gateway', config, options)
  }

  /** The invite as one line. */
  enroll(name: string, ...more: readonly string[]): Promise<string> {
    return this.command('enroll', name, '--plain', ...more)
  }
}

export class Agent extends Member {
  readonly name: string

  constructor(place: Place, name: string, options: Options, config: object = {}) {
    super('agent', place, name, { batch: QUICK_BATCHES, ...config }, options)
    this.name = name
  }
}

/** A counter: every reading of it is one more than the one before, so that a loss shows. */
export function counterSource(rate: number, more: object = {}): object {
  return { type: 'simulate', rate, readings: [{ name: 'counter', waveform: 'counter' }], ...more }
}

/** One published reading, as a subscriber that nobody here wrote received it. */
export interface Seen {
  readonly agent: string
  readonly id: string
  readonly value: number
  readonly path: string
  readonly atMs: number
}

interface Message {
  readonly topic: string
  readonly payload: string
  readonly atMs: number
  readonly retained: boolean
}

/** The counters among the messages. Each message is parsed once: a test that takes a core disturbs what it watches. */
export function readSeen(messages: readonly Message[]): Seen[] {
  return messages.flatMap((message) => {
    let seen = parsed.get(message)
    if (seen === undefined) parsed.set(message, (seen = parse(message)))
    return seen ?? []
  })
}

const parsed = new WeakMap<Message, Seen | null>()

function parse({ topic, payload, atMs, retained }: Message): Seen | null {
  const [root, , agent, name] = topic.split('/')
  // An empty message removes what was retained under a name that is no longer.
  if (retained || payload === '' || root !== 'fieldwhisper' || name !== 'counter') return null
  const { id, value, path } = JSON.parse(payload) as { id: string; value: number; path: string }
  return { agent: agent!, id, value, path, atMs }
}

/** Numbers that are missing between the first and the last seen of one agent that never restarted. */
export function missingCounts(seen: readonly Seen[], agent: string): number[] {
  const values = new Set(seen.filter((reading) => reading.agent === agent).map(({ value }) => value))
  let [lowest, highest] = [Infinity, -Infinity]
  for (const value of values) {
    lowest = Math.min(lowest, value)
    highest = Math.max(highest, value)
  }
  const missing: number[] = []
  for (let value = lowest; value < highest; value++) if (!values.has(value)) missing.push(value)
  return missing
}
