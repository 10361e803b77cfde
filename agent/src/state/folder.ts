import { rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  readJsonFile,
  refuseNewerFiles,
  systemRandom,
  writeFileDurably,
  writeJsonFile,
  type Reporter,
} from '@fieldwhisper/host'
import type { LinkTarget } from '@fieldwhisper/mesh'
import type { ZodType } from 'zod'
import {
  NO_SESSION,
  NO_SITE,
  type InviteState,
  type SaveEffect,
  type SessionState,
  type SiteState,
  type Standing,
} from '../core/index.js'
import { identitySchema, inviteSchema, keySchema, linksSchema, sessionSchema, siteSchema } from './schemas.js'

export interface DeviceIdentity {
  /** Ed25519 seed, 32 bytes. */
  readonly seed: Uint8Array
  /** The invite it was made for: another invite wants another device. */
  readonly inviteId: number
}

const FILES = {
  identity: 'identity.json',
  key: 'key.json',
  site: 'site.json',
  session: 'session.json',
  invite: 'invite.json',
  links: 'links.json',
} as const

/** Kept by the spool beside them. */
export const SPOOL_MARK = 'spool.json'

/**
 * The state folder of an agent. What does not read is set aside and reported, and counts as absent: a lost session is found
 * again with K, a lost K needs a new enrolment, and the spool goes on in any case.
 */
export class StateFolder {
  readonly path: string
  readonly #reporter: Reporter

  constructor(path: string, reporter: Reporter) {
    this.path = path
    this.#reporter = reporter
  }

  file(name: string): string {
    return join(this.path, name)
  }

  /** Throws HostError FW_FILE_NEWER where a newer release has run on this folder, before anything in it changes. */
  refuseNewer(): void {
    refuseNewerFiles([...Object.values(FILES), SPOOL_MARK].map((name) => this.file(name)))
  }

  identity(): DeviceIdentity | undefined {
    return this.#read(FILES.identity, identitySchema)
  }

  /** A new device. */
  makeIdentity(inviteId: number): DeviceIdentity {
    const identity = { seed: systemRandom(32), inviteId }
    this.#write(FILES.identity, identity)
    return identity
  }

  invite(): InviteState | undefined {
    return this.#read(FILES.invite, inviteSchema)
  }

  keepInvite(invite: InviteState): void {
    this.#write(FILES.invite, invite)
  }

  dropInvite(): void {
    rmSync(this.file(FILES.invite), { force: true })
  }

  standing(): Standing {
    const key = this.#read(FILES.key, keySchema)
    if (key) return { state: 'member', key }
    const invite = this.invite()
    return invite ? { state: 'joining', invite } : { state: 'stranger' }
  }

  site(): SiteState {
    return this.#read(FILES.site, siteSchema) ?? NO_SITE
  }

  session(): SessionState {
    return this.#read(FILES.session, sessionSchema) ?? NO_SESSION
  }

  /** Throws HostError FW_FILE_FAILED. */
  save({ file, value }: SaveEffect): void {
    this.#write(FILES[file], value)
  }

  links(): LinkTarget[] {
    return this.#read(FILES.links, linksSchema) ?? []
  }

  keepLinks(links: readonly LinkTarget[]): void {
    try {
      writeFileDurably(
        this.file(FILES.links),
        `${JSON.stringify(links.map(({ address, port }) => ({ address, port })))}\n`,
      )
    } catch {
      // They are found again by beacon.
    }
  }

  /** Everything that makes this machine an agent of its site; the spool stays. */
  forget(): void {
    for (const name of Object.values(FILES)) rmSync(this.file(name), { force: true })
  }

  /** What a new enrolment begins without. */
  forgetSite(): void {
    for (const name of [FILES.key, FILES.site, FILES.session]) rmSync(this.file(name), { force: true })
  }

  #read<T>(name: string, schema: ZodType<T>): T | undefined {
    return readJsonFile(this.file(name), { schema, reporter: this.#reporter })
  }

  #write(name: string, value: object): void {
    writeJsonFile(this.file(name), { version: 1, ...value })
  }
}
