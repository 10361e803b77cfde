/** Reading the project's own Markdown. */
import { posix } from 'node:path'

export interface Capability {
  readonly name: string
  readonly state: string
  /** Test files named in the row. */
  readonly tests: readonly string[]
}

/** Rows of the one table of docs/capabilities.md: `| capability | state | shown by |`. */
export function capabilities(markdown: string): Capability[] {
  return markdown
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) => {
      const [name = '', state = '', shown = ''] = line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim())
      return { name, state, tests: [...shown.matchAll(/`(test\/[^`]+)`/g)].map((match) => match[1] ?? '') }
    })
}

/** Relative links of a page, as paths from the repository's root, without anchors. Code blocks are not read. */
export function relativeLinks(page: string, markdown: string): string[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap((match) => {
    const target = (match[1] ?? '').replace(/#.*$/, '')
    return target === '' || /^[a-z]+:/.test(target) ? [] : [posix.join(posix.dirname(page), target)]
  })
}

/**
 * Places that belong to the machine of whoever wrote a line, e.g. a home folder or a work tree. `/home/pi` and `/home/node`
 * are fine: they stand in instructions.
 */
export function machinePaths(text: string): string[] {
  return [
    ...text.matchAll(
      /(?:^|[\s'"`(=:[])(\/(?:work|root|Users\/[\w.-]+|home\/(?!pi\b|node\b)[\w.-]+)(?:\/[^\s'"`)]*|(?=['"`])))/gm,
    ),
  ].map((match) => match[1] ?? '')
}
