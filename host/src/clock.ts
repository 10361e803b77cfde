/** How far the wall clock can be trusted: set by NTP or an operator, running but unproven, or not set since 1970. */
export type ClockQuality = 'synchronised' | 'unknown' | 'unset'

export interface Clock {
  /** Milliseconds since this machine booted; never goes back, does not stop when the wall clock is set. */
  monoMs(): number
  /** Unix time in milliseconds as the machine believes it. */
  wallMs(): number
  quality(): ClockQuality
  /** 8 bytes that change with every boot of the machine. */
  readonly bootId: Uint8Array
}
