import mqtt from 'mqtt'
import { addressOf, clientOptions, type Access } from './connection.js'
import {
  CONNECT_TIMEOUT_MS,
  DIRECTORY_LIMIT_MS,
  DIRECTORY_QUIET_MS,
  MAX_DIRECTORY_TOPICS,
} from './constants.js'
import { isRecord, parse } from './readings.js'
import type { Topics } from './topics.js'
import { troubleOf, type Trouble } from './trouble.js'

export interface DirectoryAgent {
  readonly site: string
  readonly agent: string
  /** Absent where the gateway says nothing of it. */
  readonly state?: string
  readonly names: readonly string[]
}

/** Who is there, for the lists in the editor. */
export interface Directory {
  readonly agents: readonly DirectoryAgent[]
  /** False: there is more than one editor can show. */
  readonly complete: boolean
}

/**
 * Asks the gateway's broker for what it has retained, on a connection of its own that lives as long as this call, a few
 * seconds at most. Rejects with TroubleError.
 */
export async function readDirectory(access: Access, topics: Topics, site?: string): Promise<Directory> {
  const found = new Map<string, { site: string; agent: string; state?: string; names: Set<string> }>()
  let seen = 0
  const take = (topic: string, payload: Buffer): void => {
    const place = topics.place(topic)
    const own = place ? undefined : topics.own(topic)
    const agent = place?.agent ?? own?.agent
    if (agent === undefined || payload.length === 0 || seen >= MAX_DIRECTORY_TOPICS) return
    seen += 1
    const at = place ? (place.site ?? site ?? '') : own!.site
    const key = JSON.stringify([at, agent])
    const entry = found.get(key) ?? { site: at, agent, names: new Set<string>() }
    found.set(key, entry)
    if (place) entry.names.add(place.name)
    else entry.state = stateOf(payload) ?? 'unknown'
  }
  const selection = site === undefined ? {} : { site }
  const filters = { readings: topics.readings(selection), status: topics.status(site) }
  await collect({ access, ...filters, take }).catch((error: unknown) => {
    // Keys or certificates that do not read are thrown by the client library as they are.
    throw error instanceof TroubleError
      ? error
      : new TroubleError(troubleOf(error, addressOf(access.url), false))
  })
  const agents = [...found.values()]
    .map(({ names, ...rest }) => ({ ...rest, names: [...names].sort() }))
    .sort((a, b) => (a.agent < b.agent ? -1 : a.agent > b.agent ? 1 : a.site < b.site ? -1 : 1))
  return { agents, complete: seen < MAX_DIRECTORY_TOPICS }
}

function stateOf(payload: Buffer): string | undefined {
  const json = parse(payload.toString('utf8'))
  return isRecord(json) && typeof json['state'] === 'string' ? json['state'] : undefined
}

interface Question {
  readonly access: Access
  readonly readings: string
  readonly status: string
  readonly take: (topic: string, payload: Buffer) => void
}

/** Until nothing retained came for a while. */
function collect({ access, readings, status, take }: Question): Promise<void> {
  const address = addressOf(access.url)
  return new Promise((resolve, reject) => {
    const client = mqtt.connect(access.url, clientOptions(access))
    let quiet: NodeJS.Timeout | undefined
    let limit = setTimeout(() => fail(new Error('connack timeout')), CONNECT_TIMEOUT_MS)
    let over = false
    const end = (act: () => void): void => {
      if (over) return
      over = true
      clearTimeout(quiet)
      clearTimeout(limit)
      client.end(true)
      act()
    }
    const refuse = (trouble: Trouble): void => end(() => reject(new TroubleError(trouble)))
    const fail = (error?: unknown): void => refuse(troubleOf(error, address, client.connected))
    const wait = (): void => {
      clearTimeout(quiet)
      if (!over) quiet = setTimeout(() => end(resolve), DIRECTORY_QUIET_MS)
    }
    client.on('error', fail)
    client.on('close', () => fail())
    client.on('message', (topic, payload, { retain }) => {
      if (over || !retain) return
      take(topic, payload)
      wait()
    })
    client.on('connect', () => {
      clearTimeout(limit)
      limit = setTimeout(() => end(resolve), DIRECTORY_LIMIT_MS)
      // The list of states is a help; a user who may not read it still gets the names.
      client.subscribe(status, { qos: 0 }, ignore)
      client.subscribe(readings, { qos: 0 }, (error) => {
        if (error) refuse({ key: 'link.forbidden', details: { address } })
        else wait()
      })
    })
  })
}

/** A `Trouble` as something that can be thrown. */
export class TroubleError extends Error {
  readonly trouble: Trouble

  constructor(trouble: Trouble) {
    super(trouble.key)
    this.name = 'TroubleError'
    this.trouble = trouble
  }
}

function ignore(): void {}
