import type { Reporter } from '@fieldwhisper/host'
import type { RelayFailure } from './dial.js'

/**
 * Tells the operator about one relay: what changed, once; the same again is for those who debug. `host` is the relay's host
 * and port as configured.
 */
export class RelayNews {
  readonly #reporter: Reporter
  readonly #fields: { readonly relay: string }
  #state: 'new' | 'connected' | 'down' = 'new'
  #told = new Set<string>()

  constructor(reporter: Reporter, host: string) {
    this.#reporter = reporter
    this.#fields = { relay: host }
  }

  connected(): void {
    this.#state = 'connected'
    this.#reporter.event('info', 'FW_RELAY_CONNECTED', 'The relay is connected.', this.#fields)
  }

  failed({ reason, code }: RelayFailure): void {
    const was = this.#state
    this.#state = 'down'
    const fields = { ...this.#fields, reason }
    if (code && this.#first(code)) {
      this.#reporter.event('error', code, `This relay cannot be used: ${reason}.`, this.#fields)
    } else if (was === 'connected') {
      this.#told.clear()
      this.#reporter.event('warn', 'FW_RELAY_LOST', 'The relay is gone; it is tried again.', fields)
    } else {
      const level = was === 'new' ? 'warn' : 'debug'
      this.#reporter.event(
        level,
        'FW_RELAY_UNREACHABLE',
        'The relay does not answer; it is tried again.',
        fields,
      )
    }
  }

  /** The relay takes our token for nobody's; only a tenth of its room is for us. */
  tokenUnknown(): void {
    if (!this.#first('FW_RELAY_TOKEN_UNKNOWN')) return
    const text = 'The relay does not know our access token; it treats us as a stranger.'
    this.#reporter.event('warn', 'FW_RELAY_TOKEN_UNKNOWN', text, this.#fields)
  }

  proofInvalid(name: string): void {
    if (!this.#first('FW_RELAY_PROOF_INVALID')) return
    const text =
      'The relay does not accept our proofs; it must know itself by the name that we dial ("names" in its config).'
    this.#reporter.event('error', 'FW_RELAY_PROOF_INVALID', text, { ...this.#fields, name })
  }

  misbehaved(what: string): void {
    const text = 'The relay sent what no relay sends; the connection is closed and tried again.'
    this.#reporter.event('warn', 'FW_RELAY_MISBEHAVED', text, { ...this.#fields, reason: what })
  }

  closing(code: number, text: string): void {
    const fields = { ...this.#fields, closing: code, reason: text }
    this.#reporter.event('info', 'FW_RELAY_CLOSING', 'The relay ends the connection.', fields)
  }

  #first(code: string): boolean {
    if (this.#told.has(code)) return false
    this.#told.add(code)
    return true
  }
}
