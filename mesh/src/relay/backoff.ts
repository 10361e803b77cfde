import { ABSENT_CAP_MS, RECONNECT_BASE_MS, REFUSED_CAP_MS } from './constants.js'

/**
 * The wait before the next attempt after `failures` in a row: "full jitter", see RECONNECT_BASE_MS. `answered`: the relay was
 * there and ended it. `random` is in [0, 1).
 */
export function reconnectDelayMs(failures: number, answered: boolean, random: () => number): number {
  const exponent = Math.min(Math.max(failures, 0), 16)
  return random() * Math.min(answered ? REFUSED_CAP_MS : ABSENT_CAP_MS, RECONNECT_BASE_MS * 2 ** exponent)
}
