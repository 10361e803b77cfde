/**
 * What stops a relay from starting or running. `code` is stable and has a heading in docs/errors.md; `message` is for the
 * person at the machine and never holds a token or an address; `cause` keeps what lies below.
 */
export class RelayError extends Error {
  override readonly name = 'RelayError'
  readonly code: RelayErrorCode

  constructor(code: RelayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export type RelayErrorCode =
  'FW_RELAY_LISTEN_FAILED' | 'FW_RELAY_TLS_INVALID' | 'FW_RELAY_TOKEN_INVALID' | 'FW_RELAY_STATE_NEWER'
