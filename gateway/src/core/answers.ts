import {
  encodeMessages,
  TREE_LEAVES,
  type AckMessage,
  type DoorbellSecret,
  type DownMessage,
  type HoldReason,
  type Random,
  type RelayInfo,
} from '@fieldwhisper/protocol'
import type { Clock } from '@fieldwhisper/host'
import type { Agent } from './agents.js'
import type { Commands } from './commands.js'
import {
  HOLD_REPEAT_MS,
  HOUR_MS,
  MAX_ACKED_STREAMS,
  SETUP_PATIENCE_MS,
  SETUP_REPEAT_MAX_MS,
  SETUP_REPEAT_MIN_MS,
} from './constants.js'
import type { Ledger } from './ledger.js'
import type { Ports } from './ports.js'
import type { Prekeys } from './prekeys.js'
import type { Session, Talk } from './session.js'

/** Ranges of one stream in an ACK, and of all: with 33 streams well within MAX_ACK_BYTES. */
const ACK_RANGES_EACH = 64
const ACK_RANGES = 400

export interface SiteFacts {
  readonly doorbell: DoorbellSecret
  readonly relays: readonly RelayInfo[]
  readonly directorySlot: Uint8Array
  readonly siteRevision: number
  readonly deviceKey: (agentKey: Uint8Array) => Uint8Array
}

interface Parts {
  readonly commands: Commands
  readonly ledger: Ledger
  readonly prekeys: Prekeys
  readonly ports: Ports
  readonly clock: Clock
  readonly random: Random
  readonly site: () => SiteFacts
  readonly diskTakesNothing: () => boolean
}

/**
 * What the gateway says in a session, and where: the link that last brought a packet that opened, those that brought a second copy
 * since, and every relay.
 */
export class Answers {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Something is to be said now. */
  due(session: Session, agent: Agent, now: number, hold: HoldReason | undefined): boolean {
    const { talk, down } = session
    if (down.next >= TREE_LEAVES) return false
    const ack = talk.ackDue && (!hold || now - talk.holdSaidAt >= HOLD_REPEAT_MS)
    return ack || this.#setupDue(session, agent, now, hold)
  }

  /** Seals and sends one packet. Its counter must have been reserved on disk. */
  say(session: Session, agent: Agent, now: number, hold: HoldReason | undefined): void {
    const { talk } = session
    const setup = this.#setupDue(session, agent, now, hold)
    // Unspent acknowledgements wait for the next tick, so that a session lasts longer than it takes to replace it.
    if (!setup && !talk.acks.take(now)) return
    // While something is held back the ledger in memory may be ahead of the disk: nothing of it is acknowledged.
    const named = hold ? [] : namedNow(talk)
    const messages: DownMessage[] = [this.#ack(session, agent, named, now, hold)]
    if (setup) messages.push(...this.#setup(session, agent, now))
    if (hold) talk.holdSaidAt = now
    answered(talk, named)
    talk.ackDue = !hold && talk.unanswered.size > 0
    this.#send(session, messages)
  }

  #send({ talk, down }: Session, messages: readonly DownMessage[]): void {
    const { ports, random } = this.#parts
    const { packet } = down.seal(encodeMessages(messages), random)
    const links = new Set(talk.askers)
    if (talk.link !== undefined) links.add(talk.link)
    talk.askers.clear()
    for (const link of links) if (!ports.send(link, packet) && link === talk.link) talk.link = undefined
    ports.deposit(packet)
  }

  #ack(
    session: Session,
    agent: Agent,
    named: readonly string[],
    now: number,
    hold: HoldReason | undefined,
  ): AckMessage {
    const { ledger, clock, commands } = this.#parts
    const { talk } = session
    let ranges = ACK_RANGES
    const streams = named.map((name) => {
      const ack = ledger.ack(session.agentKey, Buffer.from(name, 'hex'), Math.min(ranges, ACK_RANGES_EACH))
      ranges -= ack.ranges.length
      return ack
    })
    return {
      kind: 'ack',
      streams,
      startsBefore: hold ? 0 : talk.startsBefore,
      givenUpBelow: session.up.tree.givenUpBelow,
      ...(talk.stamp && { echo: { stampMs: talk.stamp.stampMs, delayMs: now - talk.stamp.at } }),
      ...(clock.quality() === 'synchronised' && { wallMs: clock.wallMs() }),
      ...(hold && { hold }),
      ...(talk.replied && { replyThrough: commands.replyThrough(agent) }),
    }
  }

  /** WELCOME and PREKEY until the agent is ready, NOTICE and COMMAND until it has them; of all its sessions only in those it may still keep. */
  setupWanted({ confirmed, supersededRunning }: Session, { noticeFrom, noticeNext }: Agent): boolean {
    return supersededRunning === undefined && (!confirmed || noticeFrom < noticeNext)
  }

  /** Not to a device that waits for the operator (it would get K), and not while the disk takes nothing. */
  #setupDue(session: Session, agent: Agent, now: number, hold: HoldReason | undefined): boolean {
    const allowed = hold !== 'confirm' && hold !== 'clone' && !this.#parts.diskTakesNothing()
    return allowed && now >= session.talk.setupAt && this.setupWanted(session, agent)
  }

  #setup(session: Session, agent: Agent, now: number): DownMessage[] {
    const { talk } = session
    const quiet = now - talk.heardAt > SETUP_PATIENCE_MS
    talk.setupStep = Math.min(
      talk.setupStep === 0 ? SETUP_REPEAT_MIN_MS : talk.setupStep * 2,
      SETUP_REPEAT_MAX_MS,
    )
    talk.setupAt = now + (quiet ? HOUR_MS : talk.setupStep)
    const site = this.#parts.site()
    const { doorbell, relays, siteRevision } = site
    const { certificate } = agent
    const messages: DownMessage[] = []
    const welcome = !session.confirmed && (session.kind === 'join' || !agent.confirmed)
    if (welcome) {
      const { directorySlot } = site
      const k = site.deviceKey(agent.key)
      messages.push({ kind: 'welcome', k, certificate, doorbell, relays, directorySlot, siteRevision })
    }
    const oneTime = session.succession && this.#parts.prekeys.oneTime(session.succession.oneTime)
    const newest = this.#parts.prekeys.newest()
    if (!session.confirmed && oneTime && newest) {
      messages.push({ kind: 'prekey', oneTime: oneTime.record, newest: newest.record })
    }
    const { commands, below } = this.#parts.commands.next(agent, session, now)
    const id = this.#noticeBelow(agent, below)
    // A NOTICE says how things are now, so the last one stands for all; beside a WELCOME, which says the same, there is no room.
    if (!welcome && id !== undefined) {
      messages.push({ kind: 'notice', id, siteRevision, doorbell, relays, certificate })
    }
    messages.push(...commands)
    return messages
  }

  /** The highest id that a NOTICE may have; that of a command which is over is taken with it. */
  #noticeBelow(agent: Agent, below: number): number | undefined {
    for (let id = below - 1; id >= agent.noticeFrom; id--)
      if (!this.#parts.commands.isOpen(agent, id)) return id
    return undefined
  }
}

/** The streams of one ACK: those that wait for their first, and as many as fit of those that had one, in case it was lost. */
function namedNow({ streams, unanswered }: Talk): string[] {
  const names = new Set([...[...unanswered].reverse(), ...[...streams].reverse()])
  return [...names].slice(0, MAX_ACKED_STREAMS)
}

function answered({ streams, unanswered }: Talk, named: readonly string[]): void {
  for (const name of named) unanswered.delete(name)
  for (const name of streams) {
    if (streams.size <= MAX_ACKED_STREAMS) return
    if (!unanswered.has(name)) streams.delete(name)
  }
}
