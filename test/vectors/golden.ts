import type { Chapter } from './support/chapter.js'
import { toJson } from './support/json.js'

/** What stands in golden/NAME.json. */
export interface GoldenFile {
  readonly protocol: string
  readonly sections: string
  readonly cases: readonly { readonly title: string; readonly input: object; readonly output: object }[]
}

export const goldenFolder = new URL('./golden/', import.meta.url)

export function goldenText(chapter: Chapter): string {
  const file: GoldenFile = {
    protocol: 'Fieldwhisper protocol, version 1',
    sections: chapter.sections,
    cases: chapter.cases.map(({ title, input }) => ({
      title,
      input,
      output: { ...chapter.reference(input as never), ...chapter.product(input as never) },
    })),
  }
  return toJson(file)
}
