import {
  deviceKey,
  encodeMessages,
  finishHello,
  hex,
  INVITE_ID_BIT,
  SealingDirection,
  successor,
  type OpenedHello,
  type Random,
  type RefusalCode,
} from '@fieldwhisper/protocol'
import type { Agent, Agents } from './agents.js'
import type { Commands } from './commands.js'
import { MAX_REFUSALS_KEPT, MAX_REVISION_JUMP, REFUSAL_INTERVAL_MS, REPEAT_ANSWER_MS } from './constants.js'
import type { PendingHello } from './door.js'
import type { InviteRecord, Invites } from './invites.js'
import type { Ledger } from './ledger.js'
import { Losses } from './losses.js'
import type { Meta } from './meta.js'
import type { News } from './news.js'
import type { HelloResult, Ports } from './ports.js'
import type { Prekeys } from './prekeys.js'
import { beginSession, reserve, type Session } from './session.js'
import type { Sessions } from './sessions.js'
import type { Turn } from './turn.js'

const ZEROS = new Uint8Array(32)

export interface Admitted {
  readonly session: Session
  readonly agent: Agent
  /** The first messages. */
  readonly content: Uint8Array
}

interface Parts {
  readonly agents: Agents
  readonly commands: Commands
  readonly invites: Invites
  readonly ledger: Ledger
  readonly meta: Meta
  readonly news: News
  readonly ports: Ports
  readonly prekeys: Prekeys
  readonly sessions: Sessions
  readonly random: Random
  readonly master: Uint8Array
}

/**
 * Who comes in (DESIGN section 4): 1 whose secret K it is, 2 whether its box2 opens under K and r, 3 whether it may, 4 a session
 * with a reserved successor. A device that proved itself and may not come in is told so, sealed; nobody else hears anything.
 */
export class Admission {
  readonly #parts: Parts
  /** By agent key: the last refusal. */
  readonly #refusals = new Map<
    string,
    { readonly hello: string; readonly at: number; readonly packet: Uint8Array }
  >()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  admit(turn: Turn, pending: PendingHello, result: HelloResult): Admitted | undefined {
    const { opened } = result
    if (!opened) return undefined
    const invite = opened.kind === 'join' ? this.#parts.invites.find(pending.knockId) : undefined
    const secrets = this.#secrets(pending, opened, invite)
    const finished = secrets && finishHello(pending.packet, opened, secrets.k, secrets.r)
    if (!finished) return undefined
    const verdict =
      opened.kind === 'join' ? this.#judgeJoin(turn, opened, invite!) : this.#judgeMember(turn, opened)
    if (typeof verdict === 'string') {
      this.#refuse(turn, pending, opened, SealingDirection.begin(finished.session.down), verdict)
      return undefined
    }
    this.#noteNewer(turn, pending, opened, verdict)
    const session = this.#begin(turn, pending, opened, finished.session, result)
    return { session, agent: verdict, content: finished.content }
  }

  /** K and r by the kind, or undefined where the hello came to the wrong door. */
  #secrets(
    { predecessor, knockId }: PendingHello,
    opened: OpenedHello,
    invite: InviteRecord | undefined,
  ): { readonly k: Uint8Array; readonly r: Uint8Array } | undefined {
    const k = deviceKey(this.#parts.master, opened.agentKey)
    switch (opened.kind) {
      case 'join':
        return invite && !predecessor && invite.id === knockId ? { k: invite.secret, r: ZEROS } : undefined
      case 'continue': {
        const r = predecessor?.succession?.resumption
        const same =
          predecessor &&
          hex(predecessor.agentKey) === hex(opened.agentKey) &&
          hex(opened.continuity) === predecessor.name
        return same && r ? { k, r } : undefined
      }
      case 'lost':
        return predecessor || knockId >= INVITE_ID_BIT ? undefined : { k, r: ZEROS }
    }
  }

  #judgeJoin(turn: Turn, opened: OpenedHello, invite: InviteRecord): Agent | RefusalCode {
    const { agents, invites } = this.#parts
    const known = agents.find(opened.agentKey)
    if (known?.status === 'revoked') return 'revoked'
    const own = invite.boundTo !== undefined && hex(invite.boundTo) === hex(opened.agentKey)
    if (invite.state === 'used' || (invite.boundTo && !own)) return 'invite-used'
    if (invite.state === 'closed') return 'invite-expired'
    if (known) {
      if (!own) return 'invite-used'
      return known
    }
    const holder = agents.named(invite.name)
    if (holder && !invite.replace) return 'name-taken'
    if (holder) this.revoke(turn, holder, true)
    invites.set(turn, invite, 'bound', opened.agentKey)
    return agents.add(turn, opened.agentKey, invite.name, invite.id, invite.confirm ? 'waiting' : 'active')
  }

  #judgeMember(turn: Turn, opened: OpenedHello): Agent | RefusalCode {
    const { agents, news } = this.#parts
    const known = agents.find(opened.agentKey)
    if (known) return known.status === 'revoked' ? 'revoked' : known
    // Its certificate is this site's and it proved K: the registry is older than the agent.
    const name = agents.freeName(opened.certificate!.name)
    const agent = agents.add(turn, opened.agentKey, name, 0, 'active')
    agent.confirmed = true
    const text = `${agent.name} has a valid certificate and was not in the registry: it is admitted again; revoke it if that is wrong`
    news.report(agent, 'warn', 'FW_AGENT_READMITTED', text)
    return agent
  }

  /** Ends a device: its sessions, and its declared but missing readings are told under its name. */
  revoke(turn: Turn, agent: Agent, replaced: boolean): void {
    const { agents, sessions, ledger, ports, meta, news, commands } = this.#parts
    agent.status = 'revoked'
    agents.save(turn, agent)
    sessions.endAll(turn, agent.key)
    meta.counters.epoch++
    meta.revise(turn)
    agents.oweNotice(turn, agents.all())
    const missing = ledger.missing(agent.key)
    const losses = new Losses()
    losses.add('revoked', { batches: missing })
    losses.tell(turn, agent, news)
    turn.then(() => ports.agentGone(agent.id))
    turn.then(() => commands.gone(agent))
    const why = replaced ? 'is replaced by a new device' : 'is revoked'
    turn.then(() => news.report(agent, 'info', 'FW_AGENT_REVOKED', `${agent.name} ${why}`, { missing }))
  }

  #begin(
    turn: Turn,
    pending: PendingHello,
    opened: OpenedHello,
    secrets: Parameters<typeof beginSession>[1],
    result: HelloResult,
  ): Session {
    const { sessions, prekeys, meta } = this.#parts
    const { predecessor, prekey, hash, oneTime } = pending
    const successorAddress = successor(secrets.resumption).addressKey.address
    // Beginning on a session's successor says that the agent keeps that session.
    if (predecessor) sessions.confirm(turn, predecessor)
    const named = opened.kind === 'lost' ? sessions.named(hex(opened.continuity)) : undefined
    const parent = predecessor ?? (named && hex(named.agentKey) === hex(opened.agentKey) ? named : undefined)
    const session = beginSession(turn, secrets, {
      agentKey: opened.agentKey,
      order: meta.next(turn, 'nextSessionOrder'),
      kind: opened.kind,
      ...(parent && { parent: parent.name }),
    })
    sessions.add(turn, session)
    reserve(turn, session, 1)
    prekeys.rememberHello(turn, prekey, hash, session.id)
    const next = prekeys.addOneTime(turn, successorAddress, oneTime, result)
    sessions.setSuccession(turn, session, secrets.resumption, next.number)
    return session
  }

  /**
   * An agent that has heard of more than this gateway remembers: the gateway was restored, and takes over what it is shown. Any
   * agent may say so, so its name is said, and a claim that no site comes to is passed over.
   */
  #noteNewer(
    turn: Turn,
    { knockId, predecessor }: PendingHello,
    { siteRevision }: OpenedHello,
    agent: Agent,
  ): void {
    const { counters } = this.#parts.meta
    const epoch = predecessor || knockId >= INVITE_ID_BIT ? 0 : knockId
    const newer =
      siteRevision > counters.siteRevision && siteRevision - counters.siteRevision <= MAX_REVISION_JUMP
    if (!newer && epoch <= counters.epoch) return
    if (newer) counters.siteRevision = siteRevision
    counters.epoch = Math.max(counters.epoch, epoch)
    counters.restores = Math.max(1, counters.restores)
    this.#parts.meta.save(turn)
    this.#parts.invites.closeAll(turn)
    const text =
      'an agent knows of later changes than this gateway: it was restored from a backup; repeat the revocations that were made since'
    this.#parts.news.report(agent, 'warn', 'FW_GATEWAY_RESTORED', text, {
      epoch: counters.epoch,
      revision: counters.siteRevision,
    })
  }

  /** One sealed REFUSED, at most once a minute a key; the same bytes again for a copy of the same hello. */
  #refuse(
    turn: Turn,
    pending: PendingHello,
    opened: OpenedHello,
    down: SealingDirection,
    code: RefusalCode,
  ): void {
    const { ports, random } = this.#parts
    const device = hex(opened.agentKey)
    const hello = hex(pending.hash)
    const last = this.#refusals.get(device)
    const again = last?.hello === hello
    if (last && turn.now - last.at < (again ? REPEAT_ANSWER_MS : REFUSAL_INTERVAL_MS)) return
    const packet = again ? last.packet : down.seal(encodeMessages([{ kind: 'refused', code }]), random).packet
    this.#refusals.delete(device)
    this.#refusals.set(device, { hello, at: turn.now, packet })
    const [oldest] = this.#refusals.keys()
    if (this.#refusals.size > MAX_REFUSALS_KEPT && oldest !== undefined) this.#refusals.delete(oldest)
    ports.report('warn', 'FW_HELLO_REFUSED', `a device was refused: ${code}`, { code })
    turn.then(() => {
      for (const route of pending.routes) if (route.via === 'link') ports.send(route.id, packet)
      ports.deposit(packet)
    })
  }
}
