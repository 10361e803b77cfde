// First, so that the toy counts its blocks.
import '../../fuzz/engine/coverage.js'
import t from 'tap'
import { bounded, globalState, sameBytes, sameValue, valueOrRefusal } from '../../fuzz/engine/contract.js'
import { check } from '../../fuzz/engine/check.js'
import { fuzz } from '../../fuzz/engine/fuzzer.js'
import type { Target } from '../../fuzz/engine/target.js'
import { toy } from '../../fuzz/toy.js'
import { ProtocolError } from '@fieldwhisper/protocol'

const MAX_INPUTS = 60_000
const watched = (url: string): boolean => url.endsWith('/test/fuzz/toy.ts')

function target(run: Target['run'], changes: Partial<Target> = {}): Target {
  return {
    name: 'toy',
    contract: 'none',
    maxBytes: 64,
    testInputs: 1,
    seeds: () => [new Uint8Array(8)],
    run,
    ...changes,
  }
}

void t.test(
  'coverage leads to a defect behind a magic word and a length, and what is found is made plain',
  async (t) => {
    const found = await fuzz(
      target((input) => void toy(input)),
      { seed: 1, inputs: MAX_INPUTS, corpus: [], watched },
    )
    t.equal(found.findings.length, 1)
    t.match(found.findings[0]?.error, { message: 'the defect' })
    const { input } = found.findings[0]!
    t.same([...input.subarray(0, 4)], [0x46, 0x57, 0x42, 0])
    t.ok(
      input.subarray(5).every((byte) => byte === 0),
      'what does not matter is zero',
    )
    t.ok(found.corpus.length >= 4, 'each step was kept')
    t.ok(found.reached > 4 && found.reached <= found.known)
    const blind = await fuzz(
      target((input) => void toy(input)),
      { seed: 1, inputs: MAX_INPUTS / 2, corpus: [], guided: false },
    )
    t.equal(blind.findings.length, 0, 'and without it nothing does')
  },
)

void t.test('the same seed makes the same run, another seed another', async (t) => {
  const run = async (seed: number): Promise<string> => {
    const options = { seed, inputs: 3_000, corpus: [Uint8Array.of(0x46, 1)], watched }
    return (
      await fuzz(
        target((input) => void toy(input.slice(0, 5))),
        options,
      )
    ).digest
  }
  const first = await run(7)
  t.equal(await run(7), first)
  t.not(await run(8), first)
})

void t.test(
  'a target that changes its input, takes long or leaves something on a prototype is found',
  async (t) => {
    await t.rejects(
      check(
        target((input) => void (input[0] = 1)),
        new Uint8Array(2),
      ),
      { message: 'the input was changed' },
    )
    const busy = (): void => {
      const end = process.cpuUsage().user + 20_000
      while (process.cpuUsage().user < end);
    }
    await t.rejects(check(target(busy, { maxMs: 5 }), new Uint8Array(2)), {
      message: /more than 5 ms of processor time/,
    })
    const prototype = Object.prototype as unknown as Record<string, unknown>
    const before = globalState()
    t.teardown(() => delete prototype['left behind'])
    const result = await fuzz(
      target(() => void (prototype['left behind'] = 1)),
      { seed: 1, inputs: 300, corpus: [], guided: false },
    )
    t.not(globalState(), before)
    t.match(result.findings, [{ error: { message: 'global state was changed' } }])
  },
)

void t.test('contracts tell a refusal from a crash, and a small result from a large one', (t) => {
  const refuse = (): never => {
    throw new ProtocolError('FW_MALFORMED', 'no')
  }
  const crash = (): never => {
    throw new RangeError('out of range')
  }
  t.equal(valueOrRefusal([ProtocolError], refuse), undefined)
  t.equal(
    valueOrRefusal([ProtocolError], () => 5),
    5,
  )
  t.throws(() => valueOrRefusal([ProtocolError], crash), RangeError)
  t.throws(() => bounded(new Uint8Array(2_000), 10, 2), { message: /from an input of 10, at most 1044/ })
  bounded({ a: [new Uint8Array(100), 'text', 5] }, 10, 2)
  sameValue([-0, { a: 0 }], [0, { a: -0 }])
  t.throws(() => sameValue([1], ['1']), { code: 'ERR_ASSERTION' })
  t.throws(() => sameBytes(Uint8Array.of(1), Uint8Array.of(2), 'it'), { message: 'it: 01 is not 02' })
  t.end()
})
