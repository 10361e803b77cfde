import { concat, readU16, u16, utf8 } from '../bytes.js'
import { KEY_BYTES, LABEL, MAX_TREE_NODES, TREE_DEPTH, TREE_LEAVES } from '../constants.js'
import { malformed } from '../errors.js'
import { crypto } from '../primitives/index.js'

const NODE_LABEL = utf8(LABEL.node)
const ENTRY_BYTES = 3 + KEY_BYTES

/**
 * The message keys of one direction of one session: the 2^16 leaves of a binary tree (Goldreich, Goldwasser, Micali 1986, as in
 * the secret tree of RFC 9420 section 9). HMAC-SHA-512 of a node gives both children; a node is erased when its children are
 * kept, a leaf when it is used. In order that is one HMAC a leaf; any jump costs at most 16.
 *
 *            root                 kept: the highest nodes that cover every unused leaf, no more
 *           /    \
 *         ...    ...              key of a kept node: depth × 2^16 + its prefix
 */
export class KeyTree {
  readonly #nodes: Map<number, Uint8Array>
  #givenUpBelow = 0

  private constructor(nodes: Map<number, Uint8Array>, givenUpBelow: number) {
    this.#nodes = nodes
    this.#givenUpBelow = givenUpBelow
  }

  static fromRoot(root: Uint8Array): KeyTree {
    return new KeyTree(new Map([[0, root]]), 0)
  }

  /** Nodes held; what they cost in memory and on disk is 35 bytes each. */
  get size(): number {
    return this.#nodes.size
  }

  /** Unused leaves below this counter were given up to stay within MAX_TREE_NODES; their packets have to be sealed again. */
  get givenUpBelow(): number {
    return this.#givenUpBelow
  }

  /**
   * Calls `attempt` with the key of a leaf. The leaf is used up if the attempt returns something; if it returns undefined or
   * throws, the tree is exactly as it was. Returns 'used' for a leaf that is not there any more.
   */
  use<T>(counter: number, attempt: (key: Uint8Array) => T | undefined): T | undefined | 'used' {
    if (!Number.isInteger(counter) || counter < 0 || counter >= TREE_LEAVES) return undefined
    let depth = TREE_DEPTH
    let node: Uint8Array | undefined
    for (; depth >= 0; depth--) {
      node = this.#nodes.get(nodeKey(depth, counter >>> (TREE_DEPTH - depth)))
      if (node) break
    }
    if (!node) return 'used'
    const siblings: [number, Uint8Array][] = []
    const top = depth
    for (; depth < TREE_DEPTH; depth++) {
      const children = crypto.hmacSha512(node, NODE_LABEL)
      const prefix = counter >>> (TREE_DEPTH - depth - 1)
      const right = (prefix & 1) === 1
      siblings.push([nodeKey(depth + 1, prefix ^ 1), half(children, right ? 0 : 1)])
      node = half(children, right ? 1 : 0)
    }
    const result = attempt(node)
    if (result === undefined) return undefined
    this.#nodes.delete(nodeKey(top, counter >>> (TREE_DEPTH - top)))
    for (const [key, sibling] of siblings) this.#nodes.set(key, sibling)
    this.#giveUp()
    return result
  }

  /** Erases every leaf below `counter`. */
  dropBelow(counter: number): void {
    for (const [key, node] of [...this.#nodes]) {
      const depth = key >>> TREE_DEPTH
      const width = 1 << (TREE_DEPTH - depth)
      const first = (key & 0xffff) * width
      if (first >= counter) continue
      this.#nodes.delete(key)
      if (first + width > counter) this.#keepFrom(depth, key & 0xffff, node, counter)
    }
  }

  /** For the holder's own disk: given up below u24 ‖ nodes × (depth u8 ‖ prefix u16 ‖ node 32). */
  encode(): Uint8Array {
    const entries = [...this.#nodes].map(([key, node]) =>
      concat(Uint8Array.of(key >>> TREE_DEPTH), u16(key & 0xffff), node),
    )
    return concat(Uint8Array.of(this.#givenUpBelow >>> 16), u16(this.#givenUpBelow), ...entries)
  }

  static decode(bytes: Uint8Array): KeyTree {
    if (bytes.length < 3 || (bytes.length - 3) % ENTRY_BYTES !== 0)
      throw malformed('a key tree of odd length')
    const nodes = new Map<number, Uint8Array>()
    for (let at = 3; at < bytes.length; at += ENTRY_BYTES) {
      nodes.set(
        nodeKey(bytes[at]!, readU16(bytes, at + 1)),
        new Uint8Array(bytes.subarray(at + 3, at + ENTRY_BYTES)),
      )
    }
    return new KeyTree(nodes, bytes[0]! * TREE_LEAVES + readU16(bytes, 1))
  }

  /** Of a node that straddles `counter`, keeps the children at and above it. */
  #keepFrom(depth: number, prefix: number, node: Uint8Array, counter: number): void {
    for (; depth < TREE_DEPTH; depth++) {
      const children = crypto.hmacSha512(node, NODE_LABEL)
      const middle = (prefix * 2 + 1) << (TREE_DEPTH - depth - 1)
      if (counter <= middle) this.#nodes.set(nodeKey(depth + 1, prefix * 2 + 1), half(children, 1))
      if (counter === middle) return
      prefix = counter < middle ? prefix * 2 : prefix * 2 + 1
      node = half(children, counter < middle ? 0 : 1)
    }
    this.#nodes.set(nodeKey(TREE_DEPTH, prefix), node)
  }

  #giveUp(): void {
    while (this.#nodes.size > MAX_TREE_NODES) {
      let lowest = Infinity
      let lowestKey = 0
      for (const key of this.#nodes.keys()) {
        const first = (key & 0xffff) << (TREE_DEPTH - (key >>> TREE_DEPTH))
        if (first < lowest) [lowest, lowestKey] = [first, key]
      }
      this.#nodes.delete(lowestKey)
      this.#givenUpBelow = lowest + (1 << (TREE_DEPTH - (lowestKey >>> TREE_DEPTH)))
    }
  }
}

function nodeKey(depth: number, prefix: number): number {
  return depth * TREE_LEAVES + prefix
}

/** A copy, so that the 64 bytes of a parent's output do not outlive the child that was erased. */
function half(children: Uint8Array, which: 0 | 1): Uint8Array {
  return new Uint8Array(children.subarray(which * KEY_BYTES, (which + 1) * KEY_BYTES))
}
