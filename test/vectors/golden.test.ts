import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { chapters } from './chapters/index.js'
import { goldenFolder, goldenText, type GoldenFile } from './golden.js'
import { fromJson, toJson } from './support/json.js'

for (const chapter of chapters) {
  const text = readFileSync(new URL(`${chapter.name}.json`, goldenFolder), 'utf8')
  const { cases } = fromJson(text) as GoldenFile

  void t.test(`the golden vectors of ${chapter.name} are made again byte for byte`, (t) => {
    t.equal(goldenText(chapter), text)
    t.end()
  })

  for (const { title, input, output } of cases) {
    void t.test(`${chapter.name}: ${title}: product and reference agree with the file`, (t) => {
      const product = chapter.product(input as never)
      const shown = Object.fromEntries(Object.entries(output).filter(([key]) => key in product))
      t.ok(Object.keys(shown).length > 0)
      t.equal(toJson(chapter.reference(input as never)), toJson(output))
      t.equal(sortedJson(product), sortedJson(shown))
      t.end()
    })
  }
}

void t.test('every file of golden vectors belongs to a chapter', (t) => {
  t.same(readdirSync(goldenFolder).sort(), chapters.map(({ name }) => `${name}.json`).sort())
  t.end()
})

function sortedJson(value: object): string {
  return toJson(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))))
}
