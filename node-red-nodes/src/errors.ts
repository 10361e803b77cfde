export type PaletteErrorCode =
  | 'FW_NODERED_AGENT_NOT_OPEN'
  | 'FW_NODERED_CLOSED'
  | 'FW_NODERED_COMMAND_NOT_DONE'
  | 'FW_NODERED_CONNECTION_LOST'
  | 'FW_NODERED_INPUT_INVALID'
  | 'FW_NODERED_NOT_CONNECTED'
  | 'FW_NODERED_NOT_KEPT'
  | 'FW_NODERED_NO_REPLY'
  | 'FW_NODERED_SETTINGS_INVALID'
  | 'FW_NODERED_SITE_UNKNOWN'
  | 'FW_NODERED_TOO_MANY_OPEN'

/** What a text of the catalogue takes besides its key. */
export type Details = Readonly<Record<string, string | number>>

/**
 * Something a flow's Catch node can act on. `key` and `details` choose the sentence from the catalogue of the node that
 * reports it; `message` is that key until then.
 */
export class PaletteError extends Error {
  readonly code: PaletteErrorCode
  readonly key: string
  readonly details: Details

  constructor(code: PaletteErrorCode, key: string, details: Details = {}, options?: ErrorOptions) {
    super(key, options)
    this.name = 'PaletteError'
    this.code = code
    this.key = key
    this.details = details
  }
}
