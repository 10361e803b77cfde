import {
  asArray,
  asBool,
  asBytes,
  asFinite,
  asUint,
  concat,
  encodeCbor,
  hex,
  KeyTree,
  MAX_HELLO_CONTENT_BYTES,
  OpeningDirection,
  readU32,
  SealingDirection,
  successor,
  TREE_LEAVES,
  u32,
  type AddressKey,
  type CborValue,
  type HelloKind,
  type SessionSecrets,
} from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import { ACK_BURST, ACKS_PER_SECOND, COUNTER_BLOCK } from './constants.js'
import { readRecord, RECORD_VERSION, TABLE } from './tables.js'
import { TokenBucket } from '@fieldwhisper/host'
import type { Turn } from './turn.js'

const KINDS: readonly HelloKind[] = ['join', 'continue', 'lost']

export type Path = 'lan' | 'relay'

/** What a successor's hello is checked with; erased once the successor is confirmed. */
export interface Succession {
  /** r of this session. */
  readonly resumption: Uint8Array
  readonly oneTime: number
  readonly addressKey: AddressKey
  readonly knockKey: Uint8Array
}

/** What rode along in a hello while nothing could be taken from its agent. No copy would bring it again. */
export interface HeldContent {
  readonly path: Path
  readonly content: Uint8Array
}

/** One session with one agent, as the gateway keeps it. */
export interface Session {
  readonly id: Uint8Array
  readonly name: string
  readonly agentKey: Uint8Array
  /** Grows with every session of this gateway. */
  readonly order: number
  readonly kind: HelloKind
  /** Hex id of the session it continues or, lost, names as its last. */
  readonly parent?: string
  readonly up: OpeningDirection
  readonly down: SealingDirection
  readonly upSeed: Uint8Array
  readonly downSeed: Uint8Array
  readonly createdRunning: number
  succession: Succession | undefined
  /** The agent said ready. */
  confirmed: boolean
  /** Number of the line of sessions it belongs to (lines.ts); 0 until it is confirmed. */
  line: number
  /** Running time at which a newer session was confirmed. */
  supersededRunning: number | undefined
  held: HeldContent | undefined
  /** Counters below this may be used; the disk is past them. */
  reserved: number
  /** In memory only: where answers go and what they have to say. */
  readonly talk: Talk
}

/** What is to be said in a session and where; lost at a restart without harm. */
export interface Talk {
  /** The link that last brought a packet that opened. */
  link: number | undefined
  /** Links that brought a second copy of something: the answer to it got lost, and they get it again. */
  readonly askers: Set<number>
  /** Hex streams to acknowledge, the most recently named last. */
  readonly streams: Set<string>
  /** Those that were in no answer since. */
  readonly unanswered: Set<string>
  ackDue: boolean
  /** Streams with a smaller start number are settled by a gap. */
  startsBefore: number
  /** A REPLY came in this session: its agent reads an ACK that says so. */
  replied: boolean
  readonly acks: TokenBucket
  stamp: { readonly stampMs: number; readonly at: number } | undefined
  /** The agent was heard, or might have been: a new process has not listened yet. */
  heardAt: number
  repeatedAt: number
  holdSaidAt: number
  /** WELCOME, PREKEY, NOTICE, COMMAND: when next, and the step to the one after. */
  setupAt: number
  setupStep: number
  /** An answer is queued. */
  queued: boolean
}

export function newTalk(now: number): Talk {
  return {
    link: undefined,
    askers: new Set(),
    streams: new Set(),
    unanswered: new Set(),
    ackDue: false,
    startsBefore: 0,
    replied: false,
    acks: new TokenBucket({ perSecond: ACKS_PER_SECOND, burst: ACK_BURST }, now),
    stamp: undefined,
    heardAt: now,
    repeatedAt: -Infinity,
    holdSaidAt: -Infinity,
    setupAt: now,
    setupStep: 0,
    queued: false,
  }
}

/** A session as a hello makes it: nothing is reserved, nothing said. */
export function beginSession(
  turn: Turn,
  secrets: SessionSecrets,
  facts: { agentKey: Uint8Array; order: number; kind: HelloKind; parent?: string },
): Session {
  return {
    id: new Uint8Array(secrets.id),
    name: hex(secrets.id),
    ...facts,
    agentKey: new Uint8Array(facts.agentKey),
    up: OpeningDirection.begin(secrets.up),
    down: SealingDirection.begin(secrets.down),
    upSeed: secrets.up.addressSeed,
    downSeed: secrets.down.addressSeed,
    createdRunning: turn.running,
    succession: undefined,
    confirmed: false,
    line: 0,
    supersededRunning: undefined,
    held: undefined,
    reserved: 0,
    talk: newTalk(turn.now),
  }
}

export function successionOf(resumption: Uint8Array, oneTime: number): Succession {
  return { resumption, oneTime, ...successor(resumption) }
}

/** Makes sure that `count` packets may be sealed once this turn is on disk. */
export function reserve(turn: Turn, session: Session, count: number): void {
  const { id, down } = session
  if (Math.min(TREE_LEAVES, down.next + count) <= session.reserved) return
  const end = Math.min(TREE_LEAVES, down.next + Math.max(COUNTER_BLOCK, count))
  turn.put(TABLE.sessionDown, id, () => concat(u32(end), down.treeFrom(end)))
  turn.then(() => (session.reserved = end))
}

export function saveUp(turn: Turn, { id, up }: Session): void {
  turn.put(TABLE.sessionUp, id, () => up.tree.encode())
}

export function saveSession(turn: Turn, session: Session): void {
  turn.put(TABLE.sessions, session.id, () => encodeCbor(recordOf(session)))
}

function recordOf(session: Session): CborValue {
  const { parent, succession, held } = session
  return [
    RECORD_VERSION,
    session.agentKey,
    session.order,
    KINDS.indexOf(session.kind),
    parent ? Buffer.from(parent, 'hex') : null,
    session.upSeed,
    session.downSeed,
    session.createdRunning,
    succession ? [succession.resumption, succession.oneTime] : null,
    session.confirmed,
    session.line,
    session.supersededRunning ?? null,
    held ? [held.path === 'lan', held.content] : null,
  ]
}

export function eraseSession(turn: Turn, session: Session): void {
  turn.erase(TABLE.sessions, session.id)
  turn.erase(TABLE.sessionUp, session.id)
  turn.erase(TABLE.sessionDown, session.id)
}

/** Throws where a record is missing or does not read; the caller sets that session aside. */
export function loadSession(store: Store, id: Uint8Array, value: Uint8Array, now: number): Session {
  const [
    ,
    agentKey,
    order,
    kind,
    parent,
    upSeed,
    downSeed,
    created,
    succession,
    confirmed,
    line,
    superseded,
    held,
  ] = readRecord(value, 'session', 13)
  const upTree = store.get(TABLE.sessionUp, id)
  const down = store.get(TABLE.sessionDown, id)
  if (!upTree || !down) throw new Error('a tree of the session is missing')
  const up = new Uint8Array(asBytes(upSeed, 'up seed', 32))
  const downSeedBytes = new Uint8Array(asBytes(downSeed, 'down seed', 32))
  const next = readU32(down, 0)
  return {
    id: new Uint8Array(id),
    name: hex(id),
    agentKey: new Uint8Array(asBytes(agentKey, 'agent', 32)),
    order: asFinite(order, 'order'),
    kind: KINDS[asUint(kind, 'kind', KINDS.length - 1)]!,
    ...(parent !== null && { parent: hex(asBytes(parent, 'parent', 8)) }),
    up: new OpeningDirection(up, KeyTree.decode(upTree)),
    down: new SealingDirection(downSeedBytes, KeyTree.decode(down.subarray(4)), next),
    upSeed: up,
    downSeed: downSeedBytes,
    createdRunning: asFinite(created, 'created'),
    succession: loadSuccession(succession),
    confirmed: asBool(confirmed, 'confirmed'),
    line: asFinite(line, 'line'),
    supersededRunning: superseded === null ? undefined : asFinite(superseded, 'superseded'),
    held: loadHeld(held),
    reserved: next,
    talk: newTalk(now),
  }
}

function loadSuccession(value: CborValue | undefined): Succession | undefined {
  if (value === null) return undefined
  const [resumption, oneTime] = asArray(value, 'succession', 2)
  return successionOf(new Uint8Array(asBytes(resumption, 'r', 32)), asUint(oneTime, 'one-time prekey'))
}

function loadHeld(value: CborValue | undefined): HeldContent | undefined {
  if (value === null) return undefined
  const [byLan, content] = asArray(value, 'held content', 2)
  const path = asBool(byLan, 'path') ? 'lan' : 'relay'
  return { path, content: asBytes(content, 'content', 0, MAX_HELLO_CONTENT_BYTES) }
}
