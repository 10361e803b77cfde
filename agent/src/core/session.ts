import {
  hex,
  OpeningDirection,
  SealingDirection,
  successor,
  type AddressKey,
  type HelloKind,
  type SessionSecrets,
} from '@fieldwhisper/protocol'
import type { Mailboxes } from './state.js'

/**
 * Why a session is begun.
 *
 *   first      after a start or a join: DATA follows at once
 *   exhausted  the old one has no keys left: DATA follows at once
 *   rekey      planned: the old one goes on until this one is answered
 *   probe      the gateway is silent: nothing changes unless this one is answered
 *   doorbell   it is silent for longer: the same, by the way of those who lost their session
 */
export type Purpose = 'first' | 'exhausted' | 'rekey' | 'probe' | 'doorbell'

/** One session as the agent has it; sending keys live in memory only. */
export interface AgentSession {
  readonly id: Uint8Array
  /** `id` in hexadecimal. */
  readonly name: string
  /** Grows with every session of this process. */
  readonly order: number
  readonly kind: HelloKind
  readonly purpose: Purpose
  readonly begunOn: 'signed' | 'one-time'
  readonly up: SealingDirection
  readonly down: OpeningDirection
  readonly upSeed: Uint8Array
  readonly downSeed: Uint8Array
  /** r of its successor, and where that one knocks. */
  readonly resumption: Uint8Array
  readonly successor: { readonly addressKey: AddressKey; readonly knockKey: Uint8Array }
  /** Mailbox of the predecessor's successor that its hello was sent to, where it was one. */
  readonly helloMailbox: AddressKey | undefined
  readonly helloId: number
  readonly begunAt: number
  answeredAt: number | undefined
  /** Its PREKEY, verified. */
  oneTime: Uint8Array | undefined
  /** What its batches still wait for is sealed anew at this time. */
  resealAt: number | undefined
}

export function newSession(
  secrets: SessionSecrets,
  facts: Pick<
    AgentSession,
    'order' | 'kind' | 'purpose' | 'begunOn' | 'helloMailbox' | 'helloId' | 'begunAt'
  >,
): AgentSession {
  return {
    ...facts,
    id: new Uint8Array(secrets.id),
    name: hex(secrets.id),
    up: SealingDirection.begin(secrets.up),
    down: OpeningDirection.begin(secrets.down),
    upSeed: secrets.up.addressSeed,
    downSeed: secrets.down.addressSeed,
    resumption: secrets.resumption,
    successor: successor(secrets.resumption),
    answeredAt: undefined,
    oneTime: undefined,
    resealAt: undefined,
  }
}

export function mailboxesOf({ upSeed, downSeed, answeredAt }: AgentSession): Mailboxes {
  return { up: upSeed, down: downSeed, answered: answeredAt !== undefined }
}
