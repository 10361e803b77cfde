import { readU16, utf8, wipe } from '../bytes.js'
import { KEY_BYTES, LABEL, MAX_TREE_NODES, TREE_DEPTH, TREE_LEAVES } from '../constants.js'
import { expectLength, malformed } from '../errors.js'
import { crypto } from '../primitives/index.js'

const NODE_LABEL = utf8(LABEL.node)
const HEAD_BYTES = 3
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

  /** Copies the root, which stays the caller's to erase. */
  static fromRoot(root: Uint8Array): KeyTree {
    expectLength('root of a key tree', root, KEY_BYTES)
    return new KeyTree(new Map([[0, new Uint8Array(root)]]), 0)
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
   * Calls `attempt` with the key of a leaf, which is overwritten afterwards. The leaf is used up if the attempt returns
   * something; if it returns undefined or throws, the tree is exactly as it was. Returns 'used' for a leaf that is not there any
   * more.
   */
  use<T>(counter: number, attempt: (key: Uint8Array) => T | undefined): T | undefined | 'used' {
    if (!Number.isInteger(counter) || counter < 0 || counter >= TREE_LEAVES) return undefined
    let depth = TREE_DEPTH
    while (depth >= 0 && !this.#nodes.has(nodeKey(depth, counter >>> (TREE_DEPTH - depth)))) depth--
    if (depth < 0) return 'used'
    const topKey = nodeKey(depth, counter >>> (TREE_DEPTH - depth))
    const top = this.#nodes.get(topKey)!
    const path: Uint8Array[] = []
    const siblings: [number, Uint8Array][] = []
    let node = top
    for (; depth < TREE_DEPTH; depth++) {
      const prefix = counter >>> (TREE_DEPTH - depth - 1)
      const children = childrenOf(node)
      siblings.push([nodeKey(depth + 1, prefix ^ 1), children[(prefix & 1) ^ 1]!])
      node = children[prefix & 1]!
      path.push(node)
    }
    let result: T | undefined
    try {
      result = attempt(node)
    } finally {
      wipe(...path)
      if (result === undefined) for (const [, sibling] of siblings) wipe(sibling)
    }
    if (result === undefined) return undefined
    wipe(top)
    this.#nodes.delete(topKey)
    for (const [key, sibling] of siblings) this.#nodes.set(key, sibling)
    this.#giveUp()
    return result
  }

  /** Erases every leaf below `counter`. */
  dropBelow(counter: number): void {
    for (const [key, node] of [...this.#nodes]) {
      if (firstLeaf(key) >= counter) continue
      this.#nodes.delete(key)
      if (endLeaf(key) > counter) this.#keepFrom(key, node, counter)
      wipe(node)
    }
  }

  /** For the holder's own disk: given up below u24 ‖ nodes, lowest leaf first × (depth u8 ‖ prefix u16 ‖ node 32). */
  encode(): Uint8Array {
    const nodes = [...this.#nodes].sort(([a], [b]) => firstLeaf(a) - firstLeaf(b))
    const out = new Uint8Array(HEAD_BYTES + nodes.length * ENTRY_BYTES)
    out.set([this.#givenUpBelow >>> 16, this.#givenUpBelow >>> 8, this.#givenUpBelow])
    nodes.forEach(([key, node], i) => {
      const at = HEAD_BYTES + i * ENTRY_BYTES
      out.set([key >>> TREE_DEPTH, key >>> 8, key], at)
      out.set(node, at + 3)
    })
    return out
  }

  /** Throws FW_MALFORMED on anything `encode` does not make, nodes that overlap above all: they would open a packet twice. */
  static decode(bytes: Uint8Array): KeyTree {
    if (bytes.length < HEAD_BYTES || (bytes.length - HEAD_BYTES) % ENTRY_BYTES !== 0)
      throw malformed('a key tree of odd length')
    const nodes = new Map<number, Uint8Array>()
    const givenUpBelow = (bytes[0]! << 16) | readU16(bytes, 1)
    if (givenUpBelow > TREE_LEAVES) throw malformed('a key tree that gave up more than it has')
    let free = givenUpBelow
    for (let at = HEAD_BYTES; at < bytes.length; at += ENTRY_BYTES) {
      const depth = bytes[at]!
      const prefix = readU16(bytes, at + 1)
      if (depth > TREE_DEPTH || prefix >= 1 << depth) throw malformed('a key tree with a node outside of it')
      const key = nodeKey(depth, prefix)
      if (firstLeaf(key) < free) throw malformed('a key tree whose nodes overlap or are out of order')
      free = endLeaf(key)
      nodes.set(key, new Uint8Array(bytes.subarray(at + 3, at + ENTRY_BYTES)))
    }
    return new KeyTree(nodes, givenUpBelow)
  }

  /** Of a node that straddles `counter`, keeps the children at and above it. */
  #keepFrom(key: number, node: Uint8Array, counter: number): void {
    const [left, right] = childrenOf(node)
    const rightKey = nodeKey((key >>> TREE_DEPTH) + 1, ((key & 0xffff) << 1) | 1)
    const middle = firstLeaf(rightKey)
    if (counter <= middle) this.#nodes.set(rightKey, right)
    else this.#keepFrom(rightKey, right, counter)
    if (counter < middle) this.#keepFrom(rightKey - 1, left, counter)
    if (counter > middle) wipe(right)
    wipe(left)
  }

  #giveUp(): void {
    while (this.#nodes.size > MAX_TREE_NODES) {
      let lowest = 0
      let first = Infinity
      for (const key of this.#nodes.keys()) {
        const leaf = firstLeaf(key)
        if (leaf < first) [first, lowest] = [leaf, key]
      }
      wipe(this.#nodes.get(lowest)!)
      this.#nodes.delete(lowest)
      this.#givenUpBelow = endLeaf(lowest)
    }
  }
}

function nodeKey(depth: number, prefix: number): number {
  return depth * TREE_LEAVES + prefix
}

/** Counter of the first leaf under a node. */
function firstLeaf(key: number): number {
  return (key & 0xffff) << (TREE_DEPTH - (key >>> TREE_DEPTH))
}

/** Counter of the first leaf behind a node. */
function endLeaf(key: number): number {
  return firstLeaf(key) + (1 << (TREE_DEPTH - (key >>> TREE_DEPTH)))
}

/** Left and right as copies, so that each can be erased alone. */
function childrenOf(node: Uint8Array): readonly [left: Uint8Array, right: Uint8Array] {
  const both = crypto.hmacSha512(node, NODE_LABEL)
  const children = [
    new Uint8Array(both.subarray(0, KEY_BYTES)),
    new Uint8Array(both.subarray(KEY_BYTES)),
  ] as const
  wipe(both)
  return children
}
