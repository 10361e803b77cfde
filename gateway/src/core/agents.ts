import {
  asBool,
  asBytes,
  asFinite,
  asText,
  asUint,
  encodeCbor,
  hex,
  signAgentCertificate,
  type ClockReport,
  type SigningKey,
} from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import type { Meta } from './meta.js'
import type { Path } from './session.js'
import type { Ports } from './ports.js'
import { readRecord, readTable, RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

/** waiting: enrolled with --confirm and not yet agreed to by the operator. */
export type AgentStatus = 'active' | 'waiting' | 'revoked'
const STATUSES: readonly AgentStatus[] = ['active', 'waiting', 'revoked']
const MAX_NAME_BYTES = 64

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
  /** NOTICEs and COMMANDs [noticeFrom, noticeNext) are not yet taken. */
  noticeFrom: number
  noticeNext: number
  /** Counters for the operator: readings published, readings and batches known lost. */
  readings: number
  lost: number
  /** It said that everything of streams that began before this start number is gone. */
  lostBefore: number
  /** Lines of its sessions from this one on are held: it may be a copy (lines.ts). 0: none is. */
  heldFrom: number
  lastSeenWallMs: number
  /** In memory only. */
  clock?: ClockReport
  lastPath?: Path
  /** By path: when a copy of anything last came, milliseconds of this gateway's clock. In memory only. */
  readonly heardAt: { lan?: number; relay?: number }
}

/** The registry: who may send readings under which name. */
export class Agents {
  readonly #byId = new Map<string, Agent>()
  readonly #site: SigningKey
  readonly #meta: Meta

  constructor(store: Store, site: SigningKey, meta: Meta, ports: Pick<Ports, 'report'>) {
    this.#site = site
    this.#meta = meta
    for (const agent of readTable(store, TABLE.agents, ports, decode)) this.#byId.set(agent.id, agent)
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
      lostBefore: 0,
      heldFrom: 0,
      lastSeenWallMs: 0,
      heardAt: {},
    }
    this.#byId.set(agent.id, agent)
    this.save(turn, agent)
    this.#meta.revise(turn)
    return agent
  }

  rename(turn: Turn, agent: Agent, name: string): void {
    agent.certificate = this.#certify(turn, agent.key, name)
    agent.name = name
    this.save(turn, agent)
  }

  /** The name, or, where another device has it, the name with a number. */
  freeName(name: string): string {
    let free = name
    for (let number = 2; this.named(free); number++) {
      const ending = `-${number}`
      free = firstBytes(name, MAX_NAME_BYTES - ending.length) + ending
    }
    return free
  }

  /**
   * Every device that is not revoked is owed one more NOTICE, also one whose WELCOME is on its way: it may hold what was true
   * before.
   */
  oweNotice(turn: Turn, agents: readonly Agent[]): void {
    for (const agent of agents) {
      if (agent.status === 'revoked') continue
      agent.noticeNext++
      this.save(turn, agent)
    }
  }

  save(turn: Turn, agent: Agent): void {
    turn.put(TABLE.agents, agent.key, () => encode(agent))
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
    agent.lostBefore,
    agent.heldFrom,
  ])
}

function decode(key: Uint8Array, value: Uint8Array): Agent {
  const record = readRecord(value, 'agent', 13)
  const [, name, status, certificate, inviteId, confirmed, noticeFrom, noticeNext] = record
  const [readings, lost, lastSeen, lostBefore, heldFrom] = record.slice(8)
  return {
    key,
    id: hex(key),
    name: asText(name, 'name', 1, MAX_NAME_BYTES),
    status: STATUSES[asUint(status, 'status', STATUSES.length - 1)]!,
    certificate: new Uint8Array(asBytes(certificate, 'certificate', 1, 256)),
    inviteId: asUint(inviteId, 'invite'),
    confirmed: asBool(confirmed, 'confirmed'),
    noticeFrom: asUint(noticeFrom, 'notice'),
    noticeNext: asUint(noticeNext, 'notice'),
    readings: asFinite(readings, 'readings'),
    lost: asFinite(lost, 'lost'),
    lostBefore: asUint(lostBefore, 'start number'),
    heldFrom: asFinite(heldFrom, 'held from'),
    lastSeenWallMs: asFinite(lastSeen, 'last seen'),
    heardAt: {},
  }
}

/** As many whole characters of a text as fit. */
function firstBytes(text: string, bytes: number): string {
  let kept = ''
  for (const character of text) {
    if (Buffer.byteLength(kept + character) > bytes) break
    kept += character
  }
  return kept
}
