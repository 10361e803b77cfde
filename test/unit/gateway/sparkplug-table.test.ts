import t from 'tap'
import { exists, read } from '../../support/repository.js'

const page = read('docs/sparkplug.md')
const rows = [...page.matchAll(/^\| `(tck-id-[\w-]+)` \| ([\w ]+) \| (.*) \|$/gm)].map(
  ([, id = '', state = '', shown = '']) => ({
    id,
    state,
    shown,
    tests: [...shown.matchAll(/`(test\/[^`]+)`/g)].map(([, path = '']) => path),
  }),
)

void t.test('what the table calls implemented is named in the title of a test', (t) => {
  t.ok(rows.length > 100, `${rows.length} rows`)
  for (const { id, state, shown, tests } of rows) {
    t.match(state, /^(implemented|partial|not implemented)$/, id)
    if (state === 'not implemented') t.same(tests, [], `${id} has no test`)
    else t.ok(tests.length > 0, `${id} has a test`)
    if (state !== 'implemented')
      t.match(shown.replace(/`test\/[^`]+`[,;]? ?/g, ''), /\w{3}/, `${id}: what is missing`)
    for (const path of tests) t.ok(exists(path) && read(path).includes(`[${id}]`), `${path} names ${id}`)
  }
  t.end()
})

void t.test('every statement of the specification stands on the page once', (t) => {
  const ids = [...page.matchAll(/`(tck-id-[\w-]+)`/g)].map(([, id]) => id)
  t.equal(new Set(ids).size, ids.length)
  t.equal(ids.length, 299, 'as many as version 3.0.0 has')
  t.end()
})
