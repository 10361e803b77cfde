import t from 'tap'
import { check } from '../../fuzz/engine/check.js'
import { load } from '../../fuzz/engine/files.js'
import { fuzz } from '../../fuzz/engine/fuzzer.js'
import { targets } from '../../fuzz/targets/index.js'
import { files, read } from '../../support/repository.js'

const SEED = 1
const page = read('docs/fuzzing.md')
const MAX_CORPUS_BYTES = 500_000

for (const [name, make] of Object.entries(targets)) {
  void t.test(
    `${name} keeps its contract on what was found, on its corpus and on what follows from it`,
    async (t) => {
      const target = await make()
      t.equal(target.name, name)
      t.ok(page.includes(`| \`${name}\` | ${target.contract} |`), 'docs/fuzzing.md states the same contract')
      for (const { name: file, input } of load('found', name)) {
        await t.resolves(check(target, input), `found input ${file}`)
      }
      const corpus = load('corpus', name).map(({ input }) => input)
      const { findings, inputs } = await fuzz(target, {
        seed: SEED,
        inputs: target.testInputs,
        corpus,
        guided: false,
      })
      t.equal(inputs, target.testInputs)
      for (const { input, error } of findings) {
        const hex = Buffer.from(input).toString('hex')
        const command = `npm run fuzz -- --target ${name} --seed ${SEED}`
        t.fail(`${name}, seed ${SEED}, input ${hex}; longer: ${command}`, { cause: error })
      }
    },
  )
}

void t.test('the kept inputs are few and belong to targets', (t) => {
  const kept = [...files('test/fuzz/corpus'), ...files('test/fuzz/found')]
  for (const path of kept) t.ok(path.split('/')[3]! in targets, path)
  const bytes = Object.keys(targets)
    .flatMap((name) => [...load('corpus', name), ...load('found', name)])
    .reduce((sum, { input }) => sum + input.length, 0)
  t.ok(bytes <= MAX_CORPUS_BYTES, `${bytes} bytes of kept inputs`)
  t.end()
})
