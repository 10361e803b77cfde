import { relative } from 'node:path'

/** A path as one would type it here. */
export function displayPath(path: string): string {
  const short = relative(process.cwd(), path)
  if (short === '') return '.'
  return short.startsWith('..') ? path : `./${short}`
}
