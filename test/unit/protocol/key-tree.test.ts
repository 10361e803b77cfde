import { hex, KeyTree, TREE_LEAVES } from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import { leaf } from '../../vectors/reference/packet.js'
import { refusal, seededRandom } from './support.js'

const MAX_NODES = 4_096
const root = seededRandom('tree')(32)
const copy = (key: Uint8Array) => new Uint8Array(key)

/** The naive tree: the intervals that are still covered, and every leaf from the root each time. */
class Model {
  covered: [first: number, end: number][] = [[0, TREE_LEAVES]]
  givenUpBelow = 0

  has(counter: number): boolean {
    return this.covered.some(([first, end]) => first <= counter && counter < end)
  }

  use(counter: number): void {
    this.covered = this.covered.flatMap((interval) => without(interval, counter, counter + 1))
    while (this.covered.length > MAX_NODES) this.givenUpBelow = this.covered.shift()![1]
  }

  dropBelow(counter: number): void {
    this.covered = this.covered.flatMap((interval) => without(interval, 0, counter))
  }
}

/** What stays of a node when the leaves [from, to) go: halves, and halves of halves. */
function without([first, end]: [number, number], from: number, to: number): [number, number][] {
  if (to <= first || end <= from) return [[first, end]]
  if (from <= first && end <= to) return []
  const middle = (first + end) / 2
  return [...without([first, middle], from, to), ...without([middle, end], from, to)]
}

function check(tree: KeyTree, model: Model): void {
  if (tree.size !== model.covered.length) throw new Error(`${tree.size} nodes, not ${model.covered.length}`)
  if (tree.givenUpBelow !== model.givenUpBelow) throw new Error(`given up below ${tree.givenUpBelow}`)
}

const counter = fc.oneof(fc.nat(40), fc.nat(0xffff), fc.constantFrom(0, 1, 32_767, 32_768, 65_534, 65_535))
const command = fc.oneof(
  fc.record({ does: fc.constant('use' as const), counter }),
  fc.record({ does: fc.constant('fail' as const), counter }),
  fc.record({ does: fc.constant('throw' as const), counter }),
  fc.record({ does: fc.constant('drop' as const), counter }),
  fc.record({ does: fc.constant('store' as const), counter }),
)

void t.test(
  'under any use the tree gives the keys of the naive one and keeps no more nodes than it must',
  (t) => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
        let tree = KeyTree.fromRoot(root)
        const model = new Model()
        for (const { does, counter } of commands) {
          if (does === 'store') tree = KeyTree.decode(tree.encode())
          else if (does === 'drop') {
            tree.dropBelow(counter)
            model.dropBelow(counter)
          } else {
            attempt(tree, model, counter, does)
          }
          check(tree, model)
        }
      }),
      { numRuns: 150 },
    )
    t.end()
  },
)

function attempt(tree: KeyTree, model: Model, counter: number, does: 'use' | 'fail' | 'throw'): void {
  const before = hex(tree.encode())
  let seen: Uint8Array | undefined
  let result: unknown
  try {
    result = tree.use(counter, (key) => {
      seen = copy(key)
      if (does === 'throw') throw new RangeError('not now')
      return does === 'use' ? true : undefined
    })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  if (!model.has(counter)) {
    if (result !== 'used' || seen) throw new Error(`leaf ${counter} is there again`)
  } else if (hex(seen!) !== hex(leaf(root, counter))) {
    throw new Error(`leaf ${counter} has another key`)
  }
  if (does === 'use') model.use(counter)
  else if (hex(tree.encode()) !== before) throw new Error('a failed attempt changed the tree')
}

void t.test('in order at most 16 nodes are kept, to the last leaf', (t) => {
  const tree = KeyTree.fromRoot(root)
  let largest = 0
  for (let i = 0; i < TREE_LEAVES; i++) {
    if (tree.use(i, () => true) !== true) t.fail(`leaf ${i}`)
    largest = Math.max(largest, tree.size)
  }
  t.equal(largest, 16)
  t.equal(tree.size, 0)
  t.equal(
    tree.use(0, () => true),
    'used',
  )
  t.equal(
    tree.use(65_535, () => true),
    'used',
  )
  t.equal(tree.givenUpBelow, 0)
  t.end()
})

void t.test('a counter outside of the tree is no leaf and calls nothing', (t) => {
  const tree = KeyTree.fromRoot(root)
  for (const counter of [-1, 65_536, 2 ** 32 - 1, 0.5, NaN]) {
    t.equal(
      tree.use(counter, () => t.fail('called')),
      undefined,
    )
  }
  t.equal(tree.size, 1)
  t.end()
})

void t.test('above 4,096 nodes the lowest leaves are given up, and it says below which counter', (t) => {
  const tree = KeyTree.fromRoot(root)
  const model = new Model()
  const use = (counter: number) => {
    const result = tree.use(counter, () => true)
    if ((result === true) !== model.has(counter)) t.fail(`leaf ${counter}`)
    model.use(counter)
  }
  for (let i = 0; tree.givenUpBelow === 0; i++) use(2 * i + 1)
  t.equal(tree.size, MAX_NODES)
  check(tree, model)
  for (let i = 0; i < 64; i++) use(20_001 + 2 * i)
  check(tree, model)
  t.ok(tree.givenUpBelow > 64)
  t.equal(
    tree.use(tree.givenUpBelow - 1, () => true),
    'used',
  )
  const again = KeyTree.decode(tree.encode())
  t.equal(again.givenUpBelow, tree.givenUpBelow, 'remembered on disk')
  t.equal(
    again.use(tree.givenUpBelow + 1, () => true),
    true,
    'the lowest that is left',
  )
  t.end()
})

void t.test('a used leaf is held nowhere and its key is overwritten', (t) => {
  const tree = KeyTree.fromRoot(root)
  let shown = new Uint8Array(0)
  let key = new Uint8Array(0)
  tree.use(12_345, (leafKey) => {
    shown = leafKey as Uint8Array<ArrayBuffer>
    key = copy(leafKey)
    return true
  })
  t.notOk(hex(tree.encode()).includes(hex(key)))
  t.notOk(hex(tree.encode()).includes(hex(root)))
  t.same(shown, new Uint8Array(32), 'overwritten after the attempt')
  t.equal(hex(root), hex(seededRandom('tree')(32)), "the caller's root is the caller's to erase")
  t.end()
})

void t.test(
  'a leaf that was tried in vain is there for the next attempt, also right beside a used one',
  (t) => {
    const tree = KeyTree.fromRoot(root)
    tree.use(0, () => true)
    for (let i = 0; i < 3; i++) tree.use(1, () => undefined)
    t.equal(hex(tree.use(1, copy) as Uint8Array), hex(leaf(root, 1)))
    t.end()
  },
)

void t.test('dropping below a counter keeps exactly the leaves from there on', (t) => {
  for (const from of [0, 1, 2, 3, 32_767, 32_768, 32_769, 65_535]) {
    const tree = KeyTree.fromRoot(root)
    tree.dropBelow(from)
    if (from > 0) {
      t.equal(
        tree.use(from - 1, () => true),
        'used',
      )
    }
    t.equal(hex(tree.use(from, copy) as Uint8Array), hex(leaf(root, from)))
  }
  const tree = KeyTree.fromRoot(root)
  tree.dropBelow(TREE_LEAVES)
  t.equal(tree.size, 0)
  t.end()
})

void t.test('a stored tree that is damaged is refused before any packet could open twice', (t) => {
  const tree = KeyTree.fromRoot(root)
  tree.use(7, () => true)
  const stored = tree.encode()
  const node = (depth: number, prefix: number) =>
    Buffer.concat([Uint8Array.of(depth, prefix >> 8, prefix), new Uint8Array(32)])
  const head = Uint8Array.of(0, 0, 0)
  const damaged = {
    empty: new Uint8Array(0),
    'cut off': stored.subarray(0, -1),
    'one byte more': Buffer.concat([stored, Uint8Array.of(0)]),
    'a node twice': Buffer.concat([stored, stored.subarray(3, 38)]),
    'a node deeper than the tree': Buffer.concat([head, node(17, 0)]),
    'a node beside the tree': Buffer.concat([head, node(3, 8)]),
    'a node and its child': Buffer.concat([head, node(0, 0), node(1, 1)]),
    'nodes out of order': Buffer.concat([head, node(1, 1), node(1, 0)]),
    'a node that was given up': Buffer.concat([Uint8Array.of(0, 0, 1), node(16, 0)]),
    'more given up than there is': Uint8Array.of(1, 0, 1),
  }
  for (const [what, bytes] of Object.entries(damaged)) {
    t.throws(() => KeyTree.decode(bytes), refusal('FW_MALFORMED'), what)
  }
  t.doesNotThrow(() => KeyTree.decode(stored))
  t.throws(() => KeyTree.fromRoot(new Uint8Array(31)), refusal('FW_MALFORMED'))
  t.end()
})
