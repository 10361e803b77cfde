/**
 * Why a way for packets could not be used: LAN, relay connection, courier. `code` is stable and has a heading in
 * docs/errors.md; `message` is for the person at the machine and never holds a secret or a reading; `cause` keeps the
 * error of the operating system below.
 */
export class MeshError extends Error {
  override readonly name = 'MeshError'
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
