import {
  inviteKnockKey,
  ProtocolError,
  successor,
  verifyRecord,
  type AddressKey,
  type HelloRequest,
  type VerifiedRecord,
} from '@fieldwhisper/protocol'
import type { Keeping } from './keeping.js'
import type { Purpose } from './session.js'

/** How a session can be begun now: everything of a hello but its content and the device. */
export type Way = Omit<HelloRequest, 'content' | 'agent' | 'siteRevision'> & {
  /** The mailbox is ours to make: the address of a successor. */
  readonly mailbox?: AddressKey
}

const ZEROS_8 = new Uint8Array(8)
const ZEROS_32 = new Uint8Array(32)

/** Undefined where something is missing: a record, a doorbell secret, K. */
export function wayFor(
  purpose: Purpose,
  keeping: Keeping,
  newest: VerifiedRecord | undefined,
  publicKey: Uint8Array,
): Way | undefined {
  const { standing } = keeping
  switch (standing.state) {
    case 'stranger':
      return undefined
    case 'joining': {
      const { secret, id } = standing.invite
      if (!newest) return undefined
      const knock = { id, key: inviteKnockKey(secret) }
      const zeros = { continuity: ZEROS_8, r: ZEROS_32 }
      return { kind: 'join', record: newest, identity: publicKey, k: secret, knock, ...zeros }
    }
    case 'member': {
      const { k, certificate } = standing.key
      const next = purpose === 'doorbell' ? undefined : toSuccessor(keeping)
      if (next) return { kind: 'continue', k, identity: certificate, ...next }
      const { doorbell } = keeping.site
      if (purpose === 'probe' || purpose === 'rekey' || !newest || !doorbell) return undefined
      const knock = { id: doorbell.epoch, key: doorbell.secret }
      const continuity = keeping.base?.id ?? ZEROS_8
      return { kind: 'lost', record: newest, identity: certificate, k, r: ZEROS_32, knock, continuity }
    }
  }
}

function toSuccessor({
  base,
  fingerprint,
}: Keeping): Pick<Way, 'record' | 'r' | 'knock' | 'continuity' | 'mailbox'> | undefined {
  if (!base || !fingerprint) return undefined
  const { addressKey, knockKey } = successor(base.resumption)
  try {
    const record = verifyRecord(base.oneTime, fingerprint)
    return {
      record,
      r: base.resumption,
      knock: { id: 0, key: knockKey },
      continuity: base.id,
      mailbox: addressKey,
    }
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}
