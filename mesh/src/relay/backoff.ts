import { RECONNECT_BASE_MS, RECONNECT_CAP_MS } from './constants.js'

/** The wait before the next attempt after `failures` in a row: "full jitter", see RECONNECT_BASE_MS. `random` is in [0, 1). */
export function reconnectDelayMs(failures: number, random: () => number): number {
  const exponent = Math.min(Math.max(failures, 0), 16)
  return random() * Math.min(RECONNECT_CAP_MS, RECONNECT_BASE_MS * 2 ** exponent)
}
