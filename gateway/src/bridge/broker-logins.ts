import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { sameSecret } from './broker-password.js'
import { isPasswordOf, type BrokerUser } from './broker-users.js'
import { EMBEDDED_USER, MAX_GIVEN_PASSWORD_BYTES, MAX_STRANGERS } from './constants.js'

/** Somebody who logged in. Without `user` it is the gateway's own, who may read everything. */
export interface Login {
  readonly name: string
  readonly user?: BrokerUser
}

/** A hash for names that nobody has, so that a wrong name takes as long as a wrong password. Of no password. */
const NOBODY = `scrypt-14-8-1.${'A'.repeat(22)}.${'A'.repeat(43)}`

/**
 * Who may log in at the embedded broker. Passwords of users are checked one at a time, since each check takes tens of
 * milliseconds and 16 MiB; one that was right is remembered as a keyed hash, so that a client that comes back costs nothing.
 */
export class BrokerLogins {
  readonly #password: string
  readonly #key = randomBytes(32)
  readonly #proven = new Map<string, { readonly user: BrokerUser; readonly mac: Buffer }>()
  #users: ReadonlyMap<string, BrokerUser>
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(password: string, users: readonly BrokerUser[]) {
    this.#password = password
    this.#users = byName(users)
  }

  get count(): number {
    return this.#users.size
  }

  replace(users: readonly BrokerUser[]): void {
    this.#users = byName(users)
    this.#proven.clear()
  }

  /** Whether this login would still be given, with the same rules. */
  holds({ user }: Login): boolean {
    return user === undefined || JSON.stringify(this.#users.get(user.name)) === JSON.stringify(user)
  }

  /** `busy`: more checks wait than there can be clients; nothing was looked at. `gone`: nobody waits for the answer any more. */
  async check(
    name: string,
    given: Uint8Array | string,
    gone: () => boolean,
  ): Promise<Login | 'wrong' | 'busy'> {
    if (name === EMBEDDED_USER) return sameSecret(given, this.#password) ? { name } : 'wrong'
    const user = this.#users.get(name)
    const mac = createHmac('sha256', this.#key).update(given).digest()
    const proven = user && this.#proven.get(name)
    if (proven?.user === user && proven && timingSafeEqual(proven.mac, mac))
      return { name, user: proven.user }
    if (given.length > MAX_GIVEN_PASSWORD_BYTES) return 'wrong'
    if (this.#waiting >= MAX_STRANGERS) return 'busy'
    const right = await this.#inTurn(() => (gone() ? false : isPasswordOf(user?.hash ?? NOBODY, given)))
    // Meanwhile the user may have been removed.
    if (!right || !user || !this.holds({ name, user })) return 'wrong'
    this.#proven.set(name, { user, mac })
    return { name, user }
  }

  async #inTurn(check: () => Promise<boolean> | boolean): Promise<boolean> {
    this.#waiting += 1
    const mine = this.#turn.then(check)
    this.#turn = mine.catch(() => false)
    try {
      return await mine
    } finally {
      this.#waiting -= 1
    }
  }
}

function byName(users: readonly BrokerUser[]): ReadonlyMap<string, BrokerUser> {
  return new Map(users.map((user) => [user.name, user]))
}
