import { asUint, encodeCbor, ProtocolError } from '@fieldwhisper/protocol'
import type { Store, Write } from '@fieldwhisper/host'
import { RESTORE_MARGIN } from './constants.js'
import type { Ports } from './ports.js'
import { readRecord, RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

export interface Counters {
  /** Enrolments, revocations and other changes so far. */
  siteRevision: number
  /** Doorbell secrets: grows with every revocation. */
  epoch: number
  /** The next signed prekey record's number; committed before a record is published. */
  nextPrekey: number
  nextOneTime: number
  nextCertificate: number
  nextSessionOrder: number
  /** How often this gateway found itself restored from a backup. */
  restores: number
}

type Counter = 'nextPrekey' | 'nextOneTime' | 'nextCertificate' | 'nextSessionOrder'

const KEY = new TextEncoder().encode('counters')
/** Version and counters of a new site, without the restores. */
const FRESH: readonly number[] = [RECORD_VERSION, 0, 1, 1, 1, 1, 1]
/** 32 bits. Where it cannot grow it stays: restores are then noticed by prekey numbers and epochs alone. */
const MAX_SITE_REVISION = 0xffff_ffff

/** The gateway's few counters, one record. */
export class Meta {
  readonly counters: Counters

  /**
   * Counters that are gone from a site that had them count as a restore: agents come back by *lost*. Records go on well above those that
   * agents may have seen, which they would else prefer to what this gateway makes now.
   */
  constructor(store: Store, ports: Pick<Ports, 'report'>) {
    const bytes = store.get(TABLE.meta, KEY)
    const stored = bytes && decode(bytes)
    if (!stored) {
      const text =
        'the counters of this gateway are gone: it goes on as after a restore; repeat revocations and open invites'
      ports.report('warn', 'FW_GATEWAY_RESTORED', text)
    }
    const [, siteRevision, epoch, nextPrekey, nextOneTime, nextCertificate, nextSessionOrder, restores] =
      stored ?? [...FRESH, 1]
    this.counters = {
      siteRevision: siteRevision!,
      epoch: epoch!,
      nextPrekey: nextPrekey! + (stored ? 0 : RESTORE_MARGIN),
      nextOneTime: nextOneTime!,
      nextCertificate: nextCertificate!,
      nextSessionOrder: nextSessionOrder!,
      restores: restores!,
    }
  }

  /** What `gateway init` stores for a new site. */
  static initialWrite(): Write {
    return { table: TABLE.meta, key: KEY, value: encodeCbor([...FRESH, 0]) }
  }

  save(turn: Turn): void {
    const { counters } = this
    const { siteRevision, epoch, nextPrekey, nextOneTime, nextCertificate, nextSessionOrder, restores } =
      counters
    const record = [RECORD_VERSION, siteRevision, epoch, nextPrekey, nextOneTime]
    turn.put(TABLE.meta, KEY, encodeCbor([...record, nextCertificate, nextSessionOrder, restores]))
  }

  next(turn: Turn, counter: Counter): number {
    const value = this.counters[counter]++
    this.save(turn)
    return value
  }

  /** Other records show how far a lost counter had come. */
  atLeast(counter: Counter, value: number): void {
    this.counters[counter] = Math.max(this.counters[counter], value)
  }

  /** Something changed that every agent is to hear of. */
  revise(turn: Turn): void {
    this.counters.siteRevision = Math.min(this.counters.siteRevision + 1, MAX_SITE_REVISION)
    this.save(turn)
  }
}

/** Undefined where the record does not read: that is as bad as one that is gone. */
function decode(bytes: Uint8Array): readonly number[] | undefined {
  try {
    return readRecord(bytes, 'counters', 8).map((field) => asUint(field, 'counter', Number.MAX_SAFE_INTEGER))
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}
