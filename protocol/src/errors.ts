/** Why protocol input was refused. The codes are public and stable; each has a heading in docs/errors.md. */
export type ProtocolErrorCode =
  | 'FW_MALFORMED'
  | 'FW_VERSION_UNKNOWN'
  | 'FW_TOO_LARGE'
  | 'FW_SIGNATURE_INVALID'
  | 'FW_WRONG_SITE'
  | 'FW_KEY_INVALID'
  | 'FW_INVITE_INVALID'
  | 'FW_READING_INVALID'
  | 'FW_TREE_EXHAUSTED'

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly code: ProtocolErrorCode

  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export function malformed(what: string): ProtocolError {
  return new ProtocolError('FW_MALFORMED', what)
}

export function expectLength(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw malformed(`${what} has ${bytes.length} bytes, expected ${length}`)
}
