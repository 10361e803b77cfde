/**
 * What the agent would not do. `code` is stable and has a heading in docs/errors.md; `message` is for the person at the
 * machine and never holds a reading or a secret; `cause` keeps the error of the layer below.
 */
export class AgentError extends Error {
  override readonly name = 'AgentError'
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export function starting(): AgentError {
  return new AgentError('FW_AGENT_STARTING', 'the agent is starting: repeat the command in a moment')
}
