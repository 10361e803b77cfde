import type { AgentStatus } from './status.js'

/** What `status` shows a person. */
export function statusText(status: AgentStatus): string {
  const { spool, paths, session } = status
  const ago = (ms: number | undefined): string =>
    ms === undefined ? 'no answer yet' : `answered ${seconds(ms)} ago`
  const rows: [string, string][] = [
    ['agent', status.name ?? '(no name yet)'],
    ['state', status.ok ? 'healthy' : status.problems.join('; ')],
    ['session', session.state === 'none' ? 'none' : `${session.state} (${session.kind})`],
    [
      'readings',
      `${spool.accepted} taken, ${spool.acked} at the gateway, ${spool.held} in the spool, ${status.lost} lost`,
    ],
    [
      'packets',
      `${status.sealed} sealed, ${status.acknowledgedPackets} acknowledged, ${status.inFlight} on their way`,
    ],
    ['LAN', paths.lan.enabled ? `${paths.lan.links} links, ${ago(paths.lan.lastAckAgoMs)}` : 'switched off'],
    ...paths.relays.map(({ url, connected, lastAckAgoMs }): [string, string] => [
      'relay',
      `${url} ${connected ? 'connected' : 'not reached'}, ${ago(lastAckAgoMs)}`,
    ]),
    ...status.sources.map(({ name, type, state, problems }): [string, string] => [
      'source',
      `${name} (${type}) ${state}${problems.map(({ message }) => `; ${message}`).join('')}`,
    ]),
    ...status.latest.map(({ name, value, unit, agoMs }): [string, string] => [
      name,
      `${String(value)}${unit && ` ${unit}`}, ${seconds(agoMs)} ago`,
    ]),
  ]
  return rows.map(([name, value]) => `${name.padEnd(16)} ${value}\n`).join('')
}

function seconds(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1_000)} s` : `${Math.round(ms / 60_000)} min`
}
