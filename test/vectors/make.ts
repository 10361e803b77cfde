/**
 * Writes golden/*.json anew: `npx tsc -b && node --import=tsx test/vectors/make.ts`. A change there is a change of the wire
 * format, which needs a new version: look at every line of the difference.
 */
import { writeFileSync } from 'node:fs'
import { chapters } from './chapters/index.js'
import { goldenFolder, goldenText } from './golden.js'

for (const chapter of chapters) {
  writeFileSync(new URL(`${chapter.name}.json`, goldenFolder), goldenText(chapter))
}
