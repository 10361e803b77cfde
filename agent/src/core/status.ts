import type { HelloKind, HoldReason, RefusalCode } from '@fieldwhisper/protocol'
import type { Standing } from './state.js'

export interface CoreStatus {
  readonly standing: Standing['state']
  /** The newest that was answered, else the one that waits for its answer. */
  readonly session:
    | {
        readonly id: string
        readonly kind: HelloKind
        readonly answered: boolean
        readonly ready: boolean
        readonly packets: number
      }
    | undefined
  readonly tries: number
  readonly inFlight: number
  readonly sealed: number
  readonly acknowledgedPackets: number
  readonly silentMs: number
  readonly heardAgoMs: number | undefined
  readonly hold: HoldReason | undefined
  readonly refused: RefusalCode | undefined
  readonly record: number | undefined
  readonly olderRecordsIgnored: number
  readonly failedPackets: number
}
