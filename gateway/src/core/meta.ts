import { asArray, asUint, decodeCbor, encodeCbor } from '@fieldwhisper/protocol'
import type { Store, Write } from '@fieldwhisper/host'
import type { Ports } from './ports.js'
import { RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

export interface Counters {
  /** Enrolments, revocations and rotations so far. */
  siteRevision: number
  /** Doorbell secrets: grows with every revocation. */
  epoch: number
  /** The next prekey record's number; committed before a record is published. */
  nextPrekey: number
  nextCertificate: number
  nextSessionOrder: number
  /** How often this gateway found itself restored from a backup. */
  restores: number
}

const KEY = new TextEncoder().encode('counters')

/** The gateway's few counters, one record. */
export class Meta {
  readonly counters: Counters

  /** Counters that are gone from a site that had them count as a restore: agents come back by *lost*. */
  constructor(store: Store, ports: Pick<Ports, 'report'>) {
    const bytes = store.get(TABLE.meta, KEY)
    if (!bytes) {
      const text =
        'the counters of this gateway are gone: it goes on as after a restore; repeat revocations and open invites'
      ports.report('warn', 'FW_GATEWAY_RESTORED', text)
    }
    const fields = bytes ? asArray(decodeCbor(bytes), 'counters', 7) : [RECORD_VERSION, 0, 1, 1, 1, 1, 1]
    const field = (index: number): number => asUint(fields[index], 'counter', Number.MAX_SAFE_INTEGER)
    this.counters = {
      siteRevision: field(1),
      epoch: field(2),
      nextPrekey: field(3),
      nextCertificate: field(4),
      nextSessionOrder: field(5),
      restores: field(6),
    }
  }

  /** What `gateway init` stores for a new site. */
  static initialWrite(): Write {
    return { table: TABLE.meta, key: KEY, value: encodeCbor([RECORD_VERSION, 0, 1, 1, 1, 1, 0]) }
  }

  save(turn: Turn): void {
    const { siteRevision, epoch, nextPrekey, nextCertificate, nextSessionOrder, restores } = this.counters
    const record = [
      RECORD_VERSION,
      siteRevision,
      epoch,
      nextPrekey,
      nextCertificate,
      nextSessionOrder,
      restores,
    ]
    turn.put(TABLE.meta, KEY, encodeCbor(record))
  }

  next(turn: Turn, counter: 'nextPrekey' | 'nextCertificate' | 'nextSessionOrder'): number {
    const value = this.counters[counter]++
    this.save(turn)
    return value
  }
}
