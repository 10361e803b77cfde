import {
  addressKeyFromSeed,
  asArray,
  asBytes,
  asFinite,
  crypto,
  decodeCbor,
  encodeCbor,
  hex,
  readU32,
  signRecord,
  u32,
  type AddressKey,
  type PrekeySecrets,
  type Random,
  type SigningKey,
} from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import {
  MAX_HELLOS_A_PREKEY,
  ONE_TIME_PREKEY_LIFE_MS,
  SIGNED_PREKEY_LIFE_MS,
  SIGNED_PREKEY_ROTATION_MS,
} from './constants.js'
import type { Meta } from './meta.js'
import type { GatewayIdentity, OneTimeSecrets } from './ports.js'
import { RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

/** A prekey whose private half is still held. */
export interface Prekey {
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

/** Signed prekeys with their doorbells, one-time prekeys of sessions, and which hellos they accepted. */
export class Prekeys {
  readonly #prekeys = new Map<number, Prekey>()
  readonly #identity: GatewayIdentity
  readonly #signer: SigningKey
  readonly #siteKey: Uint8Array
  readonly #meta: Meta

  constructor(store: Store, identity: GatewayIdentity, meta: Meta) {
    this.#identity = identity
    this.#signer = crypto.signingKey(identity.signingSeed)
    this.#siteKey = crypto.signingKey(identity.siteSeed).publicKey
    this.#meta = meta
    for (const { key, value } of store.range(TABLE.prekeys)) {
      const prekey = decode(readU32(key, 0), value)
      this.#prekeys.set(prekey.number, prekey)
    }
    for (const { key, value } of store.range(TABLE.hellos)) {
      this.#prekeys.get(readU32(key, 0))?.hellos.set(hex(key.subarray(4)), hex(value))
    }
  }

  get(number: number): Prekey | undefined {
    return this.#prekeys.get(number)
  }

  /** Signed prekeys, newest first. */
  doorbells(): Prekey[] {
    return [...this.#prekeys.values()].filter(({ doorbell }) => doorbell).sort((a, b) => b.number - a.number)
  }

  newest(): Prekey | undefined {
    return this.doorbells()[0]
  }

  /** Everything the worker needs to open a hello on this prekey. */
  secretsOf(prekey: Prekey): PrekeySecrets {
    return { record: prekey.record, gatewaySecret: this.#identity.agreementSecret, ...prekey.secrets }
  }

  /** A new signed prekey where the newest is a day old; returns it, and the doorbells that ended. */
  rotate(
    turn: Turn,
    random: Random,
    force = false,
  ): { readonly made?: Prekey; readonly ended: readonly Prekey[] } {
    const ended = this.doorbells().filter((old) => turn.running - old.createdRunning > SIGNED_PREKEY_LIFE_MS)
    for (const old of ended) this.erase(turn, old.number)
    const newest = this.newest()
    if (!force && newest && turn.running - newest.createdRunning < SIGNED_PREKEY_ROTATION_MS) return { ended }
    const secrets = { prekeySecret: random(32), kemSeed: random(64) }
    const doorbellSeed = random(32)
    const doorbell = addressKeyFromSeed(doorbellSeed)
    const made = this.#add(turn, 'signed', doorbell.address, secrets, {
      agreementKey: crypto.agreementKey(secrets.prekeySecret).publicKey,
      kemKey: crypto.kem.publicKey(secrets.kemSeed),
      doorbell,
      doorbellSeed,
    })
    return { made, ended }
  }

  /** The one-time prekey of a session's successor; its public halves were made by the worker. */
  addOneTime(
    turn: Turn,
    address: Uint8Array,
    secrets: OneTimeSecrets,
    publicKeys: { readonly agreementKey: Uint8Array; readonly kemKey: Uint8Array },
  ): Prekey {
    return this.#add(turn, 'one-time', address, secrets, publicKeys)
  }

  rememberHello(turn: Turn, prekey: Prekey, hash: Uint8Array, sessionId: Uint8Array): void {
    if (prekey.hellos.size >= MAX_HELLOS_A_PREKEY) return
    prekey.hellos.set(hex(hash), hex(sessionId))
    turn.put(TABLE.hellos, helloKey(prekey.number, hash), sessionId)
  }

  erase(turn: Turn, number: number): void {
    const prekey = this.#prekeys.get(number)
    if (!prekey) return
    this.#prekeys.delete(number)
    turn.erase(TABLE.prekeys, u32(number))
    for (const hash of prekey.hellos.keys())
      turn.erase(TABLE.hellos, helloKey(number, Buffer.from(hash, 'hex')))
  }

  expired(turn: Turn, prekey: Prekey): boolean {
    return !prekey.doorbell && turn.running - prekey.createdRunning > ONE_TIME_PREKEY_LIFE_MS
  }

  #add(
    turn: Turn,
    role: 'signed' | 'one-time',
    address: Uint8Array,
    secrets: OneTimeSecrets,
    made: {
      readonly agreementKey: Uint8Array
      readonly kemKey: Uint8Array
      readonly doorbell?: AddressKey
      readonly doorbellSeed?: Uint8Array
    },
  ): Prekey {
    const number = this.#meta.next(turn, 'nextPrekey')
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
      number,
      record: bytes,
      secrets,
      ...(doorbell && doorbellSeed && { doorbell, doorbellSeed }),
      createdRunning: turn.running,
      hellos: new Map(),
    }
    this.#prekeys.set(number, prekey)
    const fields = [secrets.prekeySecret, secrets.kemSeed, doorbellSeed ?? null, turn.running]
    turn.put(TABLE.prekeys, u32(number), encodeCbor([RECORD_VERSION, bytes, ...fields]))
    return prekey
  }
}

function helloKey(number: number, hash: Uint8Array): Uint8Array {
  return Buffer.concat([u32(number), hash])
}

function decode(number: number, value: Uint8Array): Prekey {
  const [, record, prekeySecret, kemSeed, doorbellSeed, created] = asArray(decodeCbor(value), 'prekey', 6)
  const bytes = new Uint8Array(asBytes(record, 'record', 1, 4096))
  const seed = doorbellSeed === null ? undefined : new Uint8Array(asBytes(doorbellSeed, 'doorbell seed', 32))
  return {
    number,
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
