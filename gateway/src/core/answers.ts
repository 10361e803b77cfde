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
import {
  HOLD_REPEAT_MS,
  SETUP_PATIENCE_MS,
  SETUP_REPEAT_MAX_MS,
  SETUP_REPEAT_MIN_MS,
  HOUR_MS,
} from './constants.js'
import type { Ledger } from './ledger.js'
import type { Ports } from './ports.js'
import type { Prekeys } from './prekeys.js'
import type { Session } from './session.js'

/** Streams in one ACK, and ranges over all of them: well within MAX_ACK_BYTES. */
const ACK_STREAMS = 33
const ACK_RANGES_EACH = 64
const ACK_RANGES = 400
/** NOTICEs in one packet; an agent that was away for long gets the next when it has taken these. */
const NOTICES_AT_ONCE = 8

export interface SiteFacts {
  readonly doorbell: DoorbellSecret
  readonly relays: readonly RelayInfo[]
  readonly directorySlot: Uint8Array
  readonly siteRevision: number
  readonly deviceKey: (agentKey: Uint8Array) => Uint8Array
}

interface Parts {
  readonly ledger: Ledger
  readonly prekeys: Prekeys
  readonly ports: Ports
  readonly clock: Clock
  readonly random: Random
  readonly site: () => SiteFacts
}

/** What the gateway says in a session, and where: the link that last brought a packet that opened, and every relay. */
export class Answers {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Something is to be said now. */
  due(session: Session, agent: Agent, now: number, hold: HoldReason | undefined): boolean {
    const { talk } = session
    if (session.down.next >= TREE_LEAVES) return false
    if (hold) return talk.ackDue && now - talk.holdSaidAt >= HOLD_REPEAT_MS
    return talk.ackDue || (this.setupWanted(session, agent) && now >= talk.setupAt)
  }

  /** Seals and sends one packet. Its counter must have been reserved on disk. */
  say(session: Session, agent: Agent, now: number, hold: HoldReason | undefined): void {
    const { talk } = session
    if (hold) {
      talk.holdSaidAt = now
      talk.ackDue = false
      this.#send(session, [this.#ack(session, now, hold)])
      return
    }
    // Unspent acknowledgements wait for the next tick, so that a session lasts longer than it takes to replace it.
    const setup = this.setupWanted(session, agent) && now >= talk.setupAt
    if (!setup && !talk.acks.take(now)) return
    const messages: DownMessage[] = [this.#ack(session, now, undefined)]
    if (setup) messages.push(...this.#setup(session, agent, now))
    talk.ackDue = false
    for (const stream of [...talk.streams].slice(0, -ACK_STREAMS)) talk.streams.delete(stream)
    this.#send(session, messages)
  }

  #send(session: Session, messages: readonly DownMessage[]): void {
    const { ports, random } = this.#parts
    const { packet } = session.down.seal(encodeMessages(messages), random)
    const { link } = session.talk
    if (link !== undefined && !ports.send(link, packet)) session.talk.link = undefined
    ports.deposit(packet)
  }

  #ack(session: Session, now: number, hold: HoldReason | undefined): AckMessage {
    const { ledger, clock } = this.#parts
    const { talk } = session
    let ranges = ACK_RANGES
    // While something is held back the ledger in memory may be ahead of the disk: nothing of it is acknowledged.
    const streams = (hold ? [] : [...talk.streams])
      .reverse()
      .slice(0, ACK_STREAMS)
      .map((name) => {
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
    }
  }

  /** WELCOME and PREKEY until the agent is ready, NOTICEs until it has them. */
  setupWanted(session: Session, agent: Agent): boolean {
    return !session.confirmed || agent.noticeFrom < agent.noticeNext
  }

  #setup(session: Session, agent: Agent, now: number): DownMessage[] {
    const { talk } = session
    const quiet = now - Math.max(talk.openedAt, 0) > SETUP_PATIENCE_MS
    talk.setupStep = Math.min(
      talk.setupStep === 0 ? SETUP_REPEAT_MIN_MS : talk.setupStep * 2,
      SETUP_REPEAT_MAX_MS,
    )
    talk.setupAt = now + (quiet ? HOUR_MS : talk.setupStep)
    const messages: DownMessage[] = []
    const site = this.#parts.site()
    if (!session.confirmed) {
      if (session.kind === 'join' || !agent.confirmed) {
        messages.push({
          kind: 'welcome',
          k: site.deviceKey(agent.key),
          certificate: agent.certificate,
          doorbell: site.doorbell,
          relays: site.relays,
          directorySlot: site.directorySlot,
          siteRevision: site.siteRevision,
        })
      }
      const oneTime = session.succession && this.#parts.prekeys.get(session.succession.oneTime)
      const newest = this.#parts.prekeys.newest()
      if (oneTime && newest) messages.push({ kind: 'prekey', oneTime: oneTime.record, newest: newest.record })
    }
    const notices = Math.min(agent.noticeNext, agent.noticeFrom + NOTICES_AT_ONCE)
    for (let id = agent.noticeFrom; id < notices; id++) {
      messages.push({
        kind: 'notice',
        id,
        siteRevision: site.siteRevision,
        doorbell: site.doorbell,
        relays: site.relays,
        certificate: agent.certificate,
      })
    }
    return messages
  }
}
