import { printable } from '@fieldwhisper/host'
import type { RelayInfo } from '@fieldwhisper/protocol'
import { renderUnicodeCompact } from 'uqr'
import type { BackupMade } from './backup/make.js'
import type { Restored } from './backup/restore.js'
import type { OutboxStatus } from './bridge/outbox.js'
import type { UserLine } from './broker-command.js'
import type { CommandLine } from './command.js'
import type { EventLine } from './event-list.js'
import type { AgentLine, GatewayStatus } from './status.js'

/** What a QR code of the largest version holds; an invite with many relays is longer. */
const MAX_QR_BYTES = 2_953

/** What `enroll` prints: the line, the same as a picture where it fits one, and what to do with it. */
export function inviteText(name: string, line: string): string {
  const picture = line.length <= MAX_QR_BYTES ? `${renderUnicodeCompact(line, { ecc: 'L' })}\n\n` : ''
  return `Invite for ${name}, good for one device and 24 hours. Whoever has it can join under this name.

${line}

${picture}On the sensor host: fieldwhisper-agent join ${line.slice(0, 12)}...   (the whole line)`
}

export function agentTable(agents: readonly AgentLine[]): string {
  if (agents.length === 0)
    return 'No device is enrolled yet. Print an invite: fieldwhisper-gateway enroll NAME'
  const rows = agents.map((agent) => [
    agent.name,
    agent.status,
    agent.last_seen?.replace('T', ' ').slice(0, 19) ?? 'never',
    agent.path ?? '-',
    String(agent.readings),
    String(agent.lost),
    String(agent.missing),
  ])
  return table(['NAME', 'STATUS', 'LAST SEEN (UTC)', 'PATH', 'READINGS', 'LOST', 'MISSING'], rows)
}

export function relayTable(relays: readonly RelayInfo[]): string {
  if (relays.length === 0) return 'Agents are told no relay: they reach this gateway over the LAN only.'
  return table(
    ['RELAY', 'TOKEN', 'CERTIFICATE'],
    relays.map(({ url, token, fingerprint }) => [
      url,
      token ? 'yes' : 'no',
      fingerprint?.slice(0, 16) ?? '-',
    ]),
  )
}

export function brokerUserTable(users: readonly UserLine[]): string {
  if (users.length === 0)
    return 'Only the user fieldwhisper may log in. Add another: fieldwhisper-gateway broker user add NAME'
  const rows = users.map(({ name, read, write }) => [name, read.join(' ') || '-', write.join(' ') || '-'])
  return table(['USER', 'READ', 'WRITE'], rows)
}

export function statusText(status: GatewayStatus): string {
  const { agents, packets, mqtt, lan } = status
  const lines = [
    status.healthy ? 'healthy' : `NOT healthy: ${status.problems.join('; ')}`,
    `site      ${status.site ?? '(no identity)'}`,
    `agents    ${agents.active} active, ${agents.waiting} waiting, ${agents.revoked} revoked; ${status.sessions} sessions`,
    `lan       ${lan ? `port ${lan.port ?? '(none)'}, ${lan.links} links` : 'off'}`,
    ...status.relays.map(
      ({ url, connected }) => `relay     ${url} ${connected ? 'connected' : 'NOT connected'}`,
    ),
    `packets   ${packets?.opened ?? 0} opened, ${packets?.duplicate ?? 0} second copies, ${packets?.failed ?? 0} that did not open`,
    `mqtt      ${mqtt ? `${mqtt.broker.address} ${mqtt.broker.connected ? 'connected' : `NOT connected ${mqtt.broker.lastError ?? ''}`}` : 'not started'}`,
    ...(mqtt ? [`outbox    ${outboxText(mqtt.outbox)}`] : []),
    `clock     ${status.clock}`,
  ]
  return lines.join('\n')
}

function outboxText({ unsentEntries, replaying, published, expired, refused }: OutboxStatus): string {
  const what = [
    `${unsentEntries} batches wait${replaying ? ' and are being published at the rate of `mqtt.replay`' : ''}`,
    `${published} messages published`,
  ]
  if (expired > 0) what.push(`${expired} of them too old to be current`)
  if (refused > 0) what.push(`${refused} REFUSED by the broker and set aside`)
  return what.join(', ')
}

export function backupText(path: string, { bytes, agents }: BackupMade, config: string | undefined): string {
  return `The backup is ${path} (${Math.ceil(bytes / 1024)} KiB, ${agents} devices, ${config ? 'with the configuration' : 'without a configuration: name it with --config to have it in'}).
Whoever has this file and its passphrase is the gateway. Keep it elsewhere than on this machine, and the passphrase apart from it.
Make a new one after each enrolment or revocation.`
}

export function restoreText(stateDir: string, { madeWallMs, agents, config }: Restored): string {
  const made = new Date(madeWallMs).toISOString()
  return `The gateway of ${made} is restored in ${stateDir}: ${agents} devices.
${config ? `Its configuration is ${config}.\n` : ''}
Before you start it:
  - Make sure that the old gateway does not run any more. Two with the same keys take each other for thieves.
After you have started it:
  - Repeat every revocation made after ${made}: fieldwhisper-gateway revoke NAME
  - Invites that were open are closed: enroll again whoever has not joined yet.
  - Devices come back by themselves, within minutes or at most about an hour. Nothing that they keep is lost.

Next: fieldwhisper-gateway run --state ${stateDir}${config ? ` --config ${config}` : ''}`
}

const STATUS_TEXT: Readonly<Record<CommandLine['status'], string>> = {
  done: 'done',
  refused: 'REFUSED, not carried out',
  failed: 'FAILED',
  expired: 'EXPIRED, not carried out',
  unknown: 'UNKNOWN, it may have been carried out',
}

/** What `command` prints: the end of it in words, and the values of its result one a line. */
export function commandText({ agent, command, status, code, message, result }: CommandLine): string {
  const values = Object.entries(result).map(([name, value]) => [
    `  ${printable(name, 128)}`,
    typeof value === 'string' ? printable(value, 1_024) : String(value),
  ])
  const width = Math.max(0, ...values.map(([name]) => name!.length))
  const lines = values.map(([name, value]) => `${name!.padEnd(width)}  ${value!}`)
  const why = [
    printable(message, 256),
    ...(status === 'done' || code === '' ? [] : [`(${printable(code, 64)})`]),
  ]
  return [`${agent}  ${command}: ${STATUS_TEXT[status]}`, `  ${why.join(' ')}`, ...lines].join('\n')
}

/** One line an event, newest last. */
export function eventText(events: readonly EventLine[]): string {
  if (events.length === 0) return 'Nothing happened that would be kept: no warning, no error, no loss.'
  return events
    .map(({ time, level, code, message, fields }) => {
      const details = Object.entries(fields).map(
        ([name, value]) => `${printable(name, 100)}=${printable(String(value), 200)}`,
      )
      const tail = details.length > 0 ? ` (${details.join(', ')})` : ''
      return `${time.replace('T', ' ').slice(0, 19)}  ${level.padEnd(5)}  ${code}  ${printable(message, 1_000)}${tail}`
    })
    .join('\n')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)].join('\n')
}
