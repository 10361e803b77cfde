export type { CommandReply, DueCommand } from './commands.js'
export { AgentCore, type CoreStep } from './core.js'
export type { CoreEffect, CoreEvent, SaveEffect } from './events.js'
export type { BatchPort, CoreOptions } from './ports.js'
export {
  NO_SESSION,
  NO_SITE,
  type Base,
  type InviteState,
  type KeyState,
  type Mailboxes,
  type SessionState,
  type SilenceState,
  type SiteState,
  type Standing,
} from './state.js'
export type { CoreStatus } from './status.js'
export { REFUSED_TEXT } from './texts.js'
