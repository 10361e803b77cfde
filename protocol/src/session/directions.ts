import { equalBytes, hex, type Random } from '../bytes.js'
import { TREE_LEAVES } from '../constants.js'
import { ProtocolError } from '../errors.js'
import { addressKeyFromSeed, type AddressKey } from '../identity/address.js'
import { openPacket, sealPacket } from '../packet/data.js'
import type { PacketHeader } from '../packet/header.js'
import type { DirectionSecrets } from '../handshake/schedule.js'
import { KeyTree } from './key-tree.js'

const RANDOM_BYTES = 8

/** Seals packets of one direction, each under the next leaf. */
export class SealingDirection {
  readonly addressKey: AddressKey
  readonly #tree: KeyTree
  #next: number

  constructor(addressSeed: Uint8Array, tree: KeyTree, next: number) {
    this.addressKey = addressKeyFromSeed(addressSeed)
    this.#tree = tree
    this.#next = next
  }

  static begin(secrets: DirectionSecrets): SealingDirection {
    return new SealingDirection(secrets.addressSeed, KeyTree.fromRoot(secrets.treeRoot), 0)
  }

  /** The counter the next packet will carry; TREE_LEAVES when the direction is exhausted. */
  get next(): number {
    return this.#next
  }

  /** Throws FW_TREE_EXHAUSTED after 2^16 packets, FW_TOO_LARGE above MAX_CONTENT_BYTES (which uses up no leaf). */
  seal(content: Uint8Array, random: Random): { readonly counter: number; readonly packet: Uint8Array } {
    const counter = this.#next
    if (counter >= TREE_LEAVES) {
      throw new ProtocolError(
        'FW_TREE_EXHAUSTED',
        `all ${TREE_LEAVES} packets of this session are used: it needs a successor`,
      )
    }
    const packet = this.#tree.use(counter, (leaf) =>
      sealPacket(leaf, this.addressKey.address, counter, random(RANDOM_BYTES), content),
    )
    if (packet === undefined || packet === 'used') {
      throw new ProtocolError(
        'FW_TREE_EXHAUSTED',
        `the key of packet ${counter} is gone: this session needs a successor`,
      )
    }
    this.#next = counter + 1
    return { counter, packet }
  }

  /** The tree as it will be once every counter below `from` is spent: what a holder stores when it reserves a block. */
  treeFrom(from: number): Uint8Array {
    const ahead = KeyTree.decode(this.#tree.encode())
    ahead.dropBelow(from)
    return ahead.encode()
  }
}

export type Opened =
  | { readonly outcome: 'opened'; readonly counter: number; readonly content: Uint8Array }
  | { readonly outcome: 'duplicate'; readonly counter: number }
  | { readonly outcome: 'failed' }

/** Opens packets of one direction in any order. Nothing changes unless the packet opened. */
export class OpeningDirection {
  readonly addressKey: AddressKey
  readonly tree: KeyTree

  constructor(addressSeed: Uint8Array, tree: KeyTree) {
    this.addressKey = addressKeyFromSeed(addressSeed)
    this.tree = tree
  }

  static begin(secrets: DirectionSecrets): OpeningDirection {
    return new OpeningDirection(secrets.addressSeed, KeyTree.fromRoot(secrets.treeRoot))
  }

  open(header: PacketHeader, packet: Uint8Array): Opened {
    if (!equalBytes(header.address, this.addressKey.address)) {
      throw new Error(`a packet for ${hex(header.address)} was offered to another address`)
    }
    const { counter } = header
    let content: Uint8Array | undefined | 'used'
    try {
      content = this.tree.use(counter, (leaf) => openPacket(leaf, packet))
    } catch (error) {
      if (error instanceof ProtocolError) return { outcome: 'failed' }
      throw error
    }
    if (content === 'used') return { outcome: 'duplicate', counter }
    return content === undefined ? { outcome: 'failed' } : { outcome: 'opened', counter, content }
  }
}
