/** Tables of the gateway's own store; the bridge has its own beside them. */
export const TABLE = {
  meta: 'meta',
  agents: 'agents',
  invites: 'invites',
  prekeys: 'prekeys',
  hellos: 'hellos',
  sessions: 'sessions',
  sessionUp: 'session_up',
  sessionDown: 'session_down',
  ledger: 'ledger',
} as const

export const CORE_TABLES: readonly string[] = Object.values(TABLE)

/** First item of every record; a reader refuses what it does not know. */
export const RECORD_VERSION = 1
