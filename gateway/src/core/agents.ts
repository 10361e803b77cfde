import {
  asArray,
  asBool,
  asBytes,
  asFinite,
  asText,
  asUint,
  decodeCbor,
  encodeCbor,
  hex,
  signAgentCertificate,
  type ClockReport,
  type SigningKey,
} from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import type { Meta } from './meta.js'
import { RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

/** waiting: enrolled with --confirm and not yet agreed to by the operator. */
export type AgentStatus = 'active' | 'waiting' | 'revoked'
const STATUSES: readonly AgentStatus[] = ['active', 'waiting', 'revoked']

/** One enrolled device. */
export interface Agent {
  /** Ed25519 public key, 32 bytes: the device. */
  readonly key: Uint8Array
  readonly id: string
  name: string
  status: AgentStatus
  certificate: Uint8Array
  /** The invite it joined with; 0 where it was re-admitted by its certificate. */
  readonly inviteId: number
  /** It said that it keeps K. */
  confirmed: boolean
  /** NOTICEs [noticeFrom, noticeNext) are not yet taken. */
  noticeFrom: number
  noticeNext: number
  /** Counters for the operator: readings published, readings and batches known lost. */
  readings: number
  lost: number
  lastSeenWallMs: number
  /** In memory only. */
  clock?: ClockReport
  lastPath?: 'lan' | 'relay'
  refusedAt?: number
}

/** The registry: who may send readings under which name. */
export class Agents {
  readonly #byId = new Map<string, Agent>()
  readonly #site: SigningKey
  readonly #meta: Meta

  constructor(store: Store, site: SigningKey, meta: Meta) {
    this.#site = site
    this.#meta = meta
    for (const { key, value } of store.range(TABLE.agents)) {
      const agent = decode(new Uint8Array(key), value)
      this.#byId.set(agent.id, agent)
    }
  }

  all(): Agent[] {
    return [...this.#byId.values()].sort((a, b) => a.name.localeCompare(b.name))
  }

  find(key: Uint8Array): Agent | undefined {
    return this.#byId.get(hex(key))
  }

  /** The device that bears the name now; revoked ones have given it back. */
  named(name: string): Agent | undefined {
    for (const agent of this.#byId.values())
      if (agent.name === name && agent.status !== 'revoked') return agent
    return undefined
  }

  add(turn: Turn, key: Uint8Array, name: string, inviteId: number, status: AgentStatus): Agent {
    const agent: Agent = {
      key: new Uint8Array(key),
      id: hex(key),
      name,
      status,
      certificate: this.#certify(turn, key, name),
      inviteId,
      confirmed: false,
      noticeFrom: 1,
      noticeNext: 1,
      readings: 0,
      lost: 0,
      lastSeenWallMs: 0,
    }
    this.#byId.set(agent.id, agent)
    this.#meta.counters.siteRevision++
    this.save(turn, agent)
    this.#meta.save(turn)
    return agent
  }

  rename(turn: Turn, agent: Agent, name: string): void {
    agent.name = name
    agent.certificate = this.#certify(turn, agent.key, name)
    this.save(turn, agent)
  }

  /** Every device that is not revoked is owed one more NOTICE. */
  oweNotice(turn: Turn, agents: readonly Agent[]): void {
    for (const agent of agents) {
      if (agent.status === 'revoked' || !agent.confirmed) continue
      agent.noticeNext++
      this.save(turn, agent)
    }
  }

  save(turn: Turn, agent: Agent): void {
    turn.put(TABLE.agents, agent.key, encode(agent))
  }

  #certify(turn: Turn, agentKey: Uint8Array, name: string): Uint8Array {
    const number = this.#meta.next(turn, 'nextCertificate')
    return signAgentCertificate(this.#site, { number, name, agentKey })
  }
}

function encode(agent: Agent): Uint8Array {
  return encodeCbor([
    RECORD_VERSION,
    agent.name,
    STATUSES.indexOf(agent.status),
    agent.certificate,
    agent.inviteId,
    agent.confirmed,
    agent.noticeFrom,
    agent.noticeNext,
    agent.readings,
    agent.lost,
    agent.lastSeenWallMs,
  ])
}

function decode(key: Uint8Array, value: Uint8Array): Agent {
  const fields = asArray(decodeCbor(value), 'agent', 11)
  const [, name, status, certificate, inviteId, confirmed, noticeFrom, noticeNext, readings, lost, lastSeen] =
    fields
  return {
    key,
    id: hex(key),
    name: asText(name, 'name', 1, 64),
    status: STATUSES[asUint(status, 'status', STATUSES.length - 1)]!,
    certificate: new Uint8Array(asBytes(certificate, 'certificate', 1, 256)),
    inviteId: asUint(inviteId, 'invite'),
    confirmed: asBool(confirmed, 'confirmed'),
    noticeFrom: asUint(noticeFrom, 'notice'),
    noticeNext: asUint(noticeNext, 'notice'),
    readings: asFinite(readings, 'readings'),
    lost: asFinite(lost, 'lost'),
    lastSeenWallMs: asFinite(lastSeen, 'last seen'),
  }
}
