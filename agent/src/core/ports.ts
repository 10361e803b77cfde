import type { OutgoingPacket } from '@fieldwhisper/mesh'
import type { Random, SigningKey } from '@fieldwhisper/protocol'
import type { Spool } from '../spool/index.js'
import type { BacklogLimits } from './limits.js'
import type { SessionState, SiteState, Standing } from './state.js'

/** What the core asks of the spool; the answers are in memory or one read away. */
export type BatchPort = Pick<
  Spool,
  'behind' | 'encoded' | 'stream' | 'streams' | 'gaps' | 'ack' | 'forget' | 'isHeld' | 'ageMs' | 'hasHeld'
>

export interface CoreOptions {
  readonly identity: SigningKey
  readonly standing: Standing
  readonly site: SiteState
  readonly session: SessionState
  readonly batches: BatchPort
  /** Whether one more packet may be outstanding. */
  readonly hasRoom: (priority: OutgoingPacket['priority'], bytes: number) => boolean
  readonly random: Random
  /** 8 bytes: which boot the clock counts from. */
  readonly bootId: Uint8Array
  /** Live readings before backlog (the default), or everything in order. */
  readonly order?: 'live_first' | 'in_order'
  readonly limits?: BacklogLimits
}
