/** What happens, in order. */
export type Act =
  'well' | 'relay-killed' | 'relay-back' | 'lan-cut' | 'lan-back' | 'gateway-killed' | 'gateway-back'

export interface Phase {
  readonly act: Act
  /** As it stands in the table. */
  readonly title: string
  readonly seconds: number
}

const TITLES: Readonly<Record<Act, string>> = {
  well: 'all well',
  'relay-killed': 'relay killed',
  'relay-back': 'relay back',
  'lan-cut': 'LAN cut',
  'lan-back': 'LAN back',
  'gateway-killed': 'gateway killed',
  'gateway-back': 'gateway back',
}

const FULL: Readonly<Record<Act, number>> = {
  well: 10,
  'relay-killed': 10,
  'relay-back': 6,
  'lan-cut': 10,
  'lan-back': 8,
  'gateway-killed': 5,
  'gateway-back': 8,
}

/** For CI: the same, with less patience. */
const SHORT: Readonly<Record<Act, number>> = {
  well: 3,
  'relay-killed': 3,
  'relay-back': 2,
  'lan-cut': 3,
  'lan-back': 3,
  'gateway-killed': 2,
  'gateway-back': 4,
}

export function schedule(short: boolean): Phase[] {
  const seconds = short ? SHORT : FULL
  return (Object.keys(TITLES) as Act[]).map((act) => ({ act, title: TITLES[act], seconds: seconds[act] }))
}

export function totalSeconds(phases: readonly Phase[]): number {
  return phases.reduce((sum, { seconds }) => sum + seconds, 0)
}
