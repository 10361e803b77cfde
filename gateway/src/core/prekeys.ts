import {
  addressKeyFromSeed,
  asBytes,
  asFinite,
  concat,
  crypto,
  encodeCbor,
  hex,
  readU32,
  signRecord,
  u32,
  type AddressKey,
  type PrekeyRecord,
  type PrekeySecrets,
  type Random,
  type SigningKey,
} from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import {
  MAX_HELLOS_A_DOORBELL,
  MAX_HELLOS_A_SUCCESSOR,
  MAX_TURN_WRITES,
  ONE_TIME_PREKEY_LIFE_MS,
  SIGNED_PREKEY_LIFE_MS,
  SIGNED_PREKEY_ROTATION_MS,
} from './constants.js'
import type { Meta } from './meta.js'
import type { GatewayIdentity, OneTimeSecrets, Ports } from './ports.js'
import { readRecord, readTable, RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

type Role = PrekeyRecord['role']
/** First byte of a key in the store. */
const ROLES: readonly Role[] = ['signed', 'one-time']
const LIFE_MS: Record<Role, number> = { signed: SIGNED_PREKEY_LIFE_MS, 'one-time': ONE_TIME_PREKEY_LIFE_MS }

/** A prekey whose private half is still held. */
export interface Prekey {
  readonly role: Role
  /** Unique in its role. */
  readonly number: number
  readonly record: Uint8Array
  readonly secrets: OneTimeSecrets
  /** Of a signed prekey: the key of its doorbell. */
  readonly doorbell?: AddressKey
  readonly doorbellSeed?: Uint8Array
  readonly createdRunning: number
  /** Hellos accepted on it, hash to session id, both hexadecimal: a copy makes nothing new. */
  readonly hellos: Map<string, string>
}

/**
 * Signed prekeys with their doorbells, one-time prekeys of sessions, and which hellos they accepted. Each role counts for itself:
 * the signed numbers grow by one a day, so that a jump in them means something (see RestoreWatch).
 */
export class Prekeys {
  readonly #signed = new Map<number, Prekey>()
  readonly #oneTime = new Map<number, Prekey>()
  readonly #identity: GatewayIdentity
  readonly #signer: SigningKey
  readonly #siteKey: Uint8Array
  readonly #meta: Meta

  constructor(store: Store, identity: GatewayIdentity, meta: Meta, ports: Pick<Ports, 'report'>) {
    this.#identity = identity
    this.#signer = crypto.signingKey(identity.signingSeed)
    this.#siteKey = crypto.signingKey(identity.siteSeed).publicKey
    this.#meta = meta
    for (const prekey of readTable(store, TABLE.prekeys, ports, decode)) {
      this.#of(prekey.role).set(prekey.number, prekey)
      meta.atLeast(prekey.role === 'signed' ? 'nextPrekey' : 'nextOneTime', prekey.number + 1)
    }
    for (const { key, value } of store.range(TABLE.hellos)) {
      this.#of(roleOf(key))
        .get(readU32(key, 1))
        ?.hellos.set(hex(key.subarray(5)), hex(value))
    }
  }

  oneTime(number: number): Prekey | undefined {
    return this.#oneTime.get(number)
  }

  /** Signed prekeys, newest first. */
  doorbells(): Prekey[] {
    return [...this.#signed.values()].sort((a, b) => b.number - a.number)
  }

  newest(): Prekey | undefined {
    return this.doorbells()[0]
  }

  /** Everything the worker needs to open a hello on this prekey. */
  secretsOf(prekey: Prekey): PrekeySecrets {
    return { record: prekey.record, gatewaySecret: this.#identity.agreementSecret, ...prekey.secrets }
  }

  /** The session that this hello made, whether that still lives or not. */
  accepted(prekey: Prekey, hash: Uint8Array): string | undefined {
    return prekey.hellos.get(hex(hash))
  }

  isFull({ role, hellos }: Prekey): boolean {
    return hellos.size >= (role === 'signed' ? MAX_HELLOS_A_DOORBELL : MAX_HELLOS_A_SUCCESSOR)
  }

  /**
   * A new signed prekey where the newest is a day old or was used a lot, or where its successor was made and is lost: agents that know
   * that one knock at nothing else. Returns it.
   */
  rotate(turn: Turn, random: Random, force = false): Prekey | undefined {
    const newest = this.newest()
    const fresh =
      newest &&
      newest.number + 1 === this.#meta.counters.nextPrekey &&
      turn.running - newest.createdRunning < SIGNED_PREKEY_ROTATION_MS &&
      newest.hellos.size < MAX_HELLOS_A_DOORBELL / 2
    if (fresh && !force) return undefined
    const secrets = { prekeySecret: random(32), kemSeed: random(64) }
    const doorbellSeed = random(32)
    const doorbell = addressKeyFromSeed(doorbellSeed)
    const number = this.#meta.next(turn, 'nextPrekey')
    return this.#add(turn, 'signed', number, doorbell.address, secrets, {
      agreementKey: crypto.agreementKey(secrets.prekeySecret).publicKey,
      kemKey: crypto.kem.publicKey(secrets.kemSeed),
      doorbell,
      doorbellSeed,
    })
  }

  /** The one-time prekey of a session's successor; its public halves were made by the worker. */
  addOneTime(
    turn: Turn,
    address: Uint8Array,
    secrets: OneTimeSecrets,
    publicKeys: { readonly agreementKey: Uint8Array; readonly kemKey: Uint8Array },
  ): Prekey {
    const number = this.#meta.next(turn, 'nextOneTime')
    return this.#add(turn, 'one-time', number, address, secrets, publicKeys)
  }

  rememberHello(turn: Turn, prekey: Prekey, hash: Uint8Array, sessionId: Uint8Array): void {
    prekey.hellos.set(hex(hash), hex(sessionId))
    turn.put(TABLE.hellos, concat(keyOf(prekey), hash), sessionId)
  }

  /** Erases private halves whose time is over, also of sessions that are gone; returns the signed ones among them. */
  expire(turn: Turn): Prekey[] {
    const ended: Prekey[] = []
    for (const prekey of [...this.#signed.values(), ...this.#oneTime.values()]) {
      if (turn.running - prekey.createdRunning <= LIFE_MS[prekey.role]) continue
      // The rest follows in a minute.
      if (turn.size + prekey.hellos.size > MAX_TURN_WRITES) break
      this.erase(turn, prekey)
      if (prekey.role === 'signed') ended.push(prekey)
    }
    return ended
  }

  erase(turn: Turn, prekey: Prekey): void {
    this.#of(prekey.role).delete(prekey.number)
    const key = keyOf(prekey)
    turn.erase(TABLE.prekeys, key)
    for (const hash of prekey.hellos.keys()) turn.erase(TABLE.hellos, concat(key, Buffer.from(hash, 'hex')))
  }

  #of(role: Role): Map<number, Prekey> {
    return role === 'signed' ? this.#signed : this.#oneTime
  }

  #add(
    turn: Turn,
    role: Role,
    number: number,
    address: Uint8Array,
    secrets: OneTimeSecrets,
    made: {
      readonly agreementKey: Uint8Array
      readonly kemKey: Uint8Array
      readonly doorbell?: AddressKey
      readonly doorbellSeed?: Uint8Array
    },
  ): Prekey {
    const { bytes } = signRecord(this.#signer, {
      role,
      number,
      agreementKey: made.agreementKey,
      kemKey: made.kemKey,
      address,
      gatewayCertificate: this.#identity.certificate,
      siteKey: this.#siteKey,
    })
    const { doorbell, doorbellSeed } = made
    const prekey: Prekey = {
      role,
      number,
      record: bytes,
      secrets,
      ...(doorbell && doorbellSeed && { doorbell, doorbellSeed }),
      createdRunning: turn.running,
      hellos: new Map(),
    }
    this.#of(role).set(number, prekey)
    const fields = [secrets.prekeySecret, secrets.kemSeed, doorbellSeed ?? null, turn.running]
    turn.put(TABLE.prekeys, keyOf(prekey), encodeCbor([RECORD_VERSION, bytes, ...fields]))
    return prekey
  }
}

/** Role u8 ‖ number u32; a hello's key goes on with its hash. */
function keyOf({ role, number }: Pick<Prekey, 'role' | 'number'>): Uint8Array {
  return concat(Uint8Array.of(ROLES.indexOf(role)), u32(number))
}

function roleOf(key: Uint8Array): Role {
  return ROLES[key[0]!] ?? 'one-time'
}

function decode(key: Uint8Array, value: Uint8Array): Prekey {
  const [, record, prekeySecret, kemSeed, doorbellSeed, created] = readRecord(value, 'prekey', 6)
  const bytes = new Uint8Array(asBytes(record, 'record', 1, 4096))
  const seed = doorbellSeed === null ? undefined : new Uint8Array(asBytes(doorbellSeed, 'doorbell seed', 32))
  return {
    role: roleOf(key),
    number: readU32(key, 1),
    record: bytes,
    secrets: {
      prekeySecret: new Uint8Array(asBytes(prekeySecret, 'prekey', 32)),
      kemSeed: new Uint8Array(asBytes(kemSeed, 'KEM seed', 64)),
    },
    ...(seed && { doorbell: addressKeyFromSeed(seed), doorbellSeed: seed }),
    createdRunning: asFinite(created, 'created'),
    hellos: new Map(),
  }
}
