/**
 * What the machine would not do for this process: store, files, configuration, control socket, command line.
 * `code` is stable and has a heading in docs/errors.md; `message` is for the person at the machine and never holds a
 * secret or a reading; `cause` keeps the error of the operating system or engine below.
 */
export class HostError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'HostError'
    this.code = code
  }
}

/** The code of a Node.js or engine error (`ENOSPC`, -30793), if it carries one. */
export function systemCode(error: unknown): string | number | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  const { code } = error
  return typeof code === 'string' || typeof code === 'number' ? code : undefined
}

/** The text of anything that was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Whatever was thrown, as an Error. */
export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
