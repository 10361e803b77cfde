import { equalBytes, type PrekeyRecord } from '@fieldwhisper/protocol'
import { MAX_OLD_MAILBOXES, SAVE_AGAIN_MS } from './constants.js'
import type { CoreEffect, SaveEffect } from './events.js'
import type { Base, KeyState, Mailboxes, SessionState, SilenceState, SiteState, Standing } from './state.js'

type File = SaveEffect['file']

/** What must survive a restart, and whether it is on disk yet. */
export class Keeping {
  standing: Standing
  site: SiteState
  base: Base | undefined
  /** Mailboxes of earlier processes and of sessions that are over, until every relay has removed them. */
  readonly #old: Mailboxes[]
  /** Mailboxes of the sessions in memory. */
  #current: readonly Mailboxes[] = []
  #silence: SilenceState
  #durableDownThrough: number
  /** What the writes of `site` under way say of it, in their order. */
  readonly #sitesUnderWay: number[] = []
  /** Files that are not on disk as they are in memory, and when to try again. */
  readonly #unsaved = new Map<File, number>()

  constructor(standing: Standing, site: SiteState, session: SessionState) {
    this.standing = standing
    this.site = site
    this.base = session.base
    this.#old = [...session.mailboxes]
    this.#silence = session.silence
    this.#durableDownThrough = site.downThrough
  }

  /** Every NOTICE and COMMAND up to this id is taken and on disk. */
  get downThrough(): number {
    return this.#durableDownThrough
  }

  get fingerprint(): Uint8Array | undefined {
    const { standing } = this
    if (standing.state === 'stranger') return undefined
    return standing.state === 'joining' ? standing.invite.fingerprint : standing.key.fingerprint
  }

  get directorySlot(): Uint8Array | undefined {
    const { standing } = this
    if (standing.state === 'stranger') return undefined
    return standing.state === 'joining' ? standing.invite.directorySlot : standing.key.directorySlot
  }

  get oldMailboxes(): readonly Mailboxes[] {
    return this.#old
  }

  isDurable(...files: readonly File[]): boolean {
    return files.every((file) => !this.#unsaved.has(file))
  }

  saveKey(key: KeyState, now: number, out: CoreEffect[]): void {
    this.standing = { state: 'member', key }
    this.#save('key', now, out)
  }

  saveSite(site: SiteState, now: number, out: CoreEffect[]): void {
    this.site = site
    this.#save('site', now, out)
  }

  saveRecord(record: PrekeyRecord, now: number, out: CoreEffect[]): void {
    this.saveSite({ ...this.site, record: record.bytes }, now, out)
  }

  saveSession(now: number, out: CoreEffect[]): void {
    this.#save('session', now, out)
  }

  setMailboxes(current: readonly Mailboxes[]): void {
    this.#current = current
  }

  setSilence(silence: SilenceState): void {
    this.#silence = silence
  }

  /** A session is over: its mailboxes are removed now, and by the next process if this one ends before. */
  retire(mailboxes: Mailboxes): void {
    this.#old.push(mailboxes)
    if (this.#old.length > MAX_OLD_MAILBOXES) this.#old.shift()
  }

  removed(mailboxes: Mailboxes): void {
    const index = this.#old.findIndex(({ down }) => equalBytes(down, mailboxes.down))
    if (index >= 0) this.#old.splice(index, 1)
  }

  saved(file: File, ok: boolean, now: number): void {
    // What was written, not what is in memory by now: a command is carried out once its id is on disk.
    const through = file === 'site' ? this.#sitesUnderWay.shift() : undefined
    if (ok && through !== undefined) this.#durableDownThrough = Math.max(this.#durableDownThrough, through)
    if (ok) this.#unsaved.delete(file)
    else this.#unsaved.set(file, now + SAVE_AGAIN_MS)
  }

  /** Tries again what the disk refused. */
  retry(now: number, out: CoreEffect[]): void {
    for (const [file, at] of [...this.#unsaved]) if (now >= at) this.#save(file, now, out)
  }

  #save(file: File, now: number, out: CoreEffect[]): void {
    this.#unsaved.set(file, now + SAVE_AGAIN_MS)
    switch (file) {
      case 'key':
        if (this.standing.state === 'member') out.push({ type: 'save', file, value: this.standing.key })
        return
      case 'site':
        this.#sitesUnderWay.push(this.site.downThrough)
        out.push({ type: 'save', file, value: this.site })
        return
      case 'session': {
        const value: SessionState = {
          ...(this.base && { base: this.base }),
          mailboxes: [...this.#old, ...this.#current],
          silence: this.#silence,
        }
        out.push({ type: 'save', file, value })
        return
      }
    }
  }
}
