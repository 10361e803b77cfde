import { MAX_REMEMBERED_IDS, MAX_REMEMBERED_TEXTS, MAX_REMEMBERED_TEXT_CHARS } from './constants.js'

/**
 * What a node has seen already. MQTT delivers at least once: a broker repeats its retained values on every subscription, and
 * the gateway repeats after a power cut what it cannot know to have arrived. A reading keeps its id in all of that.
 */
export class Repeats {
  readonly #ids = new Set<string>()
  readonly #texts = new Map<string, string>()

  /**
   * True if this message was asked about before. Without an id only what a broker retained can be known as a repeat: the same
   * text at the same topic.
   */
  seen(topic: string, payload: Uint8Array, retained: boolean, id?: string): boolean {
    if (id !== undefined) return this.#seenId(id)
    const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('latin1')
    const same = this.#texts.get(topic) === text
    this.#texts.delete(topic)
    if (text.length <= MAX_REMEMBERED_TEXT_CHARS) this.#texts.set(topic, text)
    if (this.#texts.size > MAX_REMEMBERED_TEXTS) this.#texts.delete(this.#texts.keys().next().value!)
    return retained && same
  }

  #seenId(id: string): boolean {
    if (this.#ids.has(id)) return true
    this.#ids.add(id)
    if (this.#ids.size > MAX_REMEMBERED_IDS) this.#ids.delete(this.#ids.keys().next().value!)
    return false
  }
}
