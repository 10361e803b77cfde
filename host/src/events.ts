export type Level = 'debug' | 'info' | 'warn' | 'error'

/** Values an event may carry. Never a reading, a secret, a key or a packet. */
export type EventFields = Readonly<Record<string, string | number | boolean>>

/** Where a program tells its operator what happened. `code` is stable (`FW_SPOOL_FULL`) and has a heading in docs/errors.md. */
export interface Reporter {
  event(level: Level, code: string, message: string, fields?: EventFields): void
}
