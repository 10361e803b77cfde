/** Every command that an agent knows; which of them it carries out stands in its configuration. */
export const COMMAND_NAMES = [
  'ping',
  'read_now',
  'set_interval',
  'restart_source',
  'write',
  'acknowledge',
] as const

export type CommandName = (typeof COMMAND_NAMES)[number]
