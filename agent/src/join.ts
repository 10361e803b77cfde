import type { Reporter } from '@fieldwhisper/host'
import type { Invite } from '@fieldwhisper/protocol'
import { AgentError } from './errors.js'
import type { StateFolder } from './state/folder.js'
import type { AgentStatus } from './status.js'

/**
 * Makes this machine a device of the invite's site, or goes on with a join that began before: the same invite belongs to the
 * same device until it is confirmed. Throws AgentError FW_AGENT_ALREADY_JOINED.
 */
export function prepareJoin(folder: StateFolder, invite: Invite, reporter: Reporter): void {
  if (folder.standing().state === 'member') {
    throw new AgentError(
      'FW_AGENT_ALREADY_JOINED',
      'this agent belongs to a site already: `fieldwhisper-agent leave --yes` ends that, its readings are kept',
    )
  }
  const { siteFingerprint: fingerprint, directorySlot, id, secret, relays } = invite
  const identity = folder.identity()
  if (identity?.inviteId !== id) {
    folder.forgetSite()
    folder.makeIdentity(id)
    if (identity) {
      const text =
        'This is another invite than before: the device gets a new identity and keeps its readings.'
      reporter.event('info', 'FW_AGENT_IDENTITY_NEW', text)
    }
  }
  folder.keepInvite({ fingerprint, directorySlot, id, secret, relays })
}

/**
 * The same for a program that is given its invite at every start: a device that joined with this invite, or is joining with it,
 * goes on; another invite makes it a new device, whatever it was.
 */
export function useInvite(folder: StateFolder, invite: Invite, reporter: Reporter): void {
  if (folder.standing().state === 'member') {
    if (folder.identity()?.inviteId === invite.id) return
    folder.forgetSite()
  }
  prepareJoin(folder, invite, reporter)
}

/** How far a join got, and what to check. */
export function joinProgress(status: AgentStatus): string {
  const { session, paths } = status
  const relays = paths.relays.map(({ url, connected }) => `${url} ${connected ? 'connected' : 'not reached'}`)
  const lan = paths.lan.enabled
    ? `LAN: ${paths.lan.devices} devices heard, ${paths.lan.links} links`
    : 'LAN: switched off'
  const where = [lan, ...(relays.length > 0 ? relays : ['no relay'])].join('; ')
  if (session.state === 'none') {
    return `The site's prekey record was not found yet (${where}). Is the gateway running, on this LAN or at this relay? It must have run once before anybody can join without it.`
  }
  if (status.hold === 'confirm') {
    return 'The gateway knows this device and waits for its operator: `fieldwhisper-gateway confirm NAME` there. The join is kept.'
  }
  return `The request is on its way (${where}); the gateway has not answered. Is it running? The join is kept: once it answers, all is well.`
}
