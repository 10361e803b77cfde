import {
  asBool,
  asBytes,
  asFinite,
  asText,
  asUint,
  encodeCbor,
  INVITE_ID_BIT,
  readU32,
  u32,
  type Random,
} from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import { GatewayError } from '../errors.js'
import { INVITE_LIFE_MS, MAX_CLOSED_INVITES, MAX_OPEN_INVITES } from './constants.js'
import type { Ports } from './ports.js'
import { readRecord, readTable, RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

/**
 *   open ──join──▶ bound ──agent confirms──▶ used
 *     └──24 h, or the gateway was restored──▶ closed
 */
export type InviteState = 'open' | 'bound' | 'used' | 'closed'
const STATES: readonly InviteState[] = ['open', 'bound', 'used', 'closed']

export interface InviteRecord {
  readonly id: number
  readonly secret: Uint8Array
  readonly name: string
  /** The name may be taken from the device that has it. */
  readonly replace: boolean
  /** Nothing of the device is bridged before the operator agreed. */
  readonly confirm: boolean
  readonly createdRunning: number
  state: InviteState
  /** Whose it is since the first join. */
  boundTo?: Uint8Array
}

export class Invites {
  readonly #byId = new Map<number, InviteRecord>()

  constructor(store: Store, ports: Pick<Ports, 'report'>) {
    for (const invite of readTable(store, TABLE.invites, ports, decode)) this.#byId.set(invite.id, invite)
  }

  find(id: number): InviteRecord | undefined {
    return this.#byId.get(id)
  }

  open(): InviteRecord[] {
    return [...this.#byId.values()].filter((invite) => invite.state === 'open')
  }

  create(
    turn: Turn,
    random: Random,
    name: string,
    options: { replace: boolean; confirm: boolean },
  ): InviteRecord {
    if (this.open().length >= MAX_OPEN_INVITES) {
      throw new GatewayError(
        'FW_INVITES_FULL',
        `${MAX_OPEN_INVITES} invites are open: use them, or wait until the oldest expires`,
      )
    }
    let id = 0
    do id = (readU32(random(4), 0) | INVITE_ID_BIT) >>> 0
    while (this.#byId.has(id))
    const invite: InviteRecord = {
      id,
      secret: random(32),
      name,
      ...options,
      createdRunning: turn.running,
      state: 'open',
    }
    this.#byId.set(id, invite)
    this.#save(turn, invite)
    return invite
  }

  set(turn: Turn, invite: InviteRecord, state: InviteState, boundTo?: Uint8Array): void {
    invite.state = state
    if (boundTo) invite.boundTo = new Uint8Array(boundTo)
    this.#save(turn, invite)
  }

  closeAll(turn: Turn): void {
    for (const invite of this.open()) this.set(turn, invite, 'closed')
  }

  /** Closes what expired and forgets the oldest that nobody can use any more. */
  expire(turn: Turn): void {
    for (const invite of this.open()) {
      if (turn.running - invite.createdRunning > INVITE_LIFE_MS) this.set(turn, invite, 'closed')
    }
    const dead = [...this.#byId.values()].filter(({ state }) => state === 'used' || state === 'closed')
    for (const invite of dead.slice(0, Math.max(0, dead.length - MAX_CLOSED_INVITES))) {
      this.#byId.delete(invite.id)
      turn.erase(TABLE.invites, u32(invite.id))
    }
  }

  #save(turn: Turn, invite: InviteRecord): void {
    const { secret, name, replace, confirm, createdRunning, state, boundTo } = invite
    const record = [
      RECORD_VERSION,
      secret,
      name,
      replace,
      confirm,
      createdRunning,
      STATES.indexOf(state),
      boundTo ?? null,
    ]
    turn.put(TABLE.invites, u32(invite.id), encodeCbor(record))
  }
}

function decode(key: Uint8Array, value: Uint8Array): InviteRecord {
  const [, secret, name, replace, confirm, created, state, boundTo] = readRecord(value, 'invite', 8)
  return {
    id: readU32(key, 0),
    secret: new Uint8Array(asBytes(secret, 'secret', 32)),
    name: asText(name, 'name', 1, 64),
    replace: asBool(replace, 'replace'),
    confirm: asBool(confirm, 'confirm'),
    createdRunning: asFinite(created, 'created'),
    state: STATES[asUint(state, 'state', STATES.length - 1)]!,
    ...(boundTo !== null && { boundTo: new Uint8Array(asBytes(boundTo, 'device', 32)) }),
  }
}
