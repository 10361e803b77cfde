import { readFileSync, statSync } from 'node:fs'
import { LineCounter, isMap, isNode, parseDocument } from 'yaml'
import type { Document } from 'yaml'
import { z } from 'zod'
import { MAX_CONFIG_ALIASES, MAX_CONFIG_BYTES, MAX_CONFIG_PROBLEMS } from './constants.js'
import { HostError, errorText } from './errors.js'
import { nearest, printable } from './text.js'

type Path = readonly PropertyKey[]

/** One thing that is wrong, where it stands. Lines and columns count from 1. */
export interface ConfigProblem {
  readonly line: number
  readonly column: number
  readonly path: string
  readonly text: string
}

/**
 * Reads a YAML configuration (YAML 1.2, at most 1 MiB, no duplicate keys, no custom tags) through a schema made of
 * `z.strictObject`. Throws HostError `FW_CONFIG_UNREADABLE` when the file cannot be read, and `FW_CONFIG_INVALID` with
 * every problem on a line of its own: `file:line:column path: what is wrong`. Values are not quoted: they may be secrets.
 */
export function loadConfig<T>(path: string, schema: z.ZodType<T>): T {
  let text: string
  try {
    const { size } = statSync(path)
    if (size > MAX_CONFIG_BYTES) {
      const found = `it has ${size} bytes, at most ${MAX_CONFIG_BYTES} are read`
      throw invalid(path, [{ line: 1, column: 1, path: '', text: found }])
    }
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    if (error instanceof HostError) throw error
    const reason = error instanceof TypeError ? 'it is not UTF-8 text' : errorText(error)
    throw new HostError('FW_CONFIG_UNREADABLE', `The configuration ${path} cannot be read: ${reason}`, {
      cause: error,
    })
  }
  return parseConfig(text, schema, path)
}

/** As `loadConfig`, for text that is already there; `name` stands for the file in problems. */
export function parseConfig<T>(text: string, schema: z.ZodType<T>, name: string): T {
  const lines = new LineCounter()
  let document: Document.Parsed | undefined
  let content: unknown
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: true,
      merge: false,
      // Not a warning on standard error, which would quote the file, but a problem like any other.
      stringKeys: true,
    })
    const faults = [...document.errors, ...document.warnings]
    if (faults.length > 0) {
      throw invalid(
        name,
        faults.map(({ pos, message }) => ({ ...position(lines, pos[0]), path: '', text: message })),
      )
    }
    content = document.toJS({ maxAliasCount: MAX_CONFIG_ALIASES }) as unknown
  } catch (error) {
    if (error instanceof HostError) throw error
    // Too many aliases, or nesting deeper than the parser can follow.
    throw invalid(name, [
      { line: 1, column: 1, path: '', text: `it is not usable YAML: ${errorText(error)}` },
    ])
  }
  const result = schema.safeParse(content ?? {})
  if (result.success) return result.data
  // Each is looked up in the text and in the schema: of many, those that are not shown are only counted.
  const issues = result.error.issues.flatMap(flatten)
  const json = configSchemaJson(schema)
  const looked = issues.slice(0, MAX_CONFIG_PROBLEMS)
  const problems = looked.flatMap((issue) => describe(issue, json))
  throw invalid(
    name,
    problems.slice(0, MAX_CONFIG_PROBLEMS).map((problem) => ({
      ...problem,
      ...place(document, lines, problem.at),
      path: dotted(problem.at),
    })),
    issues.length - looked.length + Math.max(0, problems.length - MAX_CONFIG_PROBLEMS),
  )
}

/** The JSON Schema of what a user writes (before defaults and units), for editors and the published schemas. */
export function configSchemaJson(schema: z.ZodType): Record<string, unknown> {
  return { ...z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) }
}

type Issue = z.core.$ZodIssue

/** Of the alternatives of a union, the one that came nearest: the fewest problems, deepest inside. */
function flatten(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue]
  const depth = (issues: readonly Issue[]): number => Math.max(0, ...issues.map(({ path }) => path.length))
  const [best] = [...issue.errors].sort((a, b) => depth(b) - depth(a) || a.length - b.length)
  if (best === undefined || depth(best) === 0) return [issue]
  return best.flatMap((inner) => flatten({ ...inner, path: [...issue.path, ...inner.path] }))
}

function describe(issue: Issue, schema: unknown): { at: Path; text: string }[] {
  if (issue.code === 'unrecognized_keys') {
    const allowed = keysAt(schema, issue.path)
    return issue.keys.map((key) => {
      const near = nearest(key, allowed)
      const hint = near === undefined ? '' : `; did you mean "${near}"?`
      const list = allowed.length === 0 ? '' : ` (allowed: ${allowed.join(', ')})`
      return { at: [...issue.path, key], text: `this key is not known${hint}${list}` }
    })
  }
  const missing =
    issue.code === 'invalid_type' && issue.input === undefined && /undefined$/.test(issue.message)
  const text = missing ? `is missing: ${issue.message.replace(/, received undefined$/, '')}` : issue.message
  return [{ at: issue.path, text: text.replace(/^(is missing: )?Invalid input: /, '$1') }]
}

/** The keys that a JSON Schema allows at a path, over all alternatives. */
function keysAt(root: unknown, path: Path): string[] {
  let here = alternatives(root)
  for (const step of path) here = here.flatMap((node) => alternatives(child(node, step)))
  return [...new Set(here.flatMap((node) => Object.keys(asObject(node['properties']))))]
}

function child(node: Readonly<Record<string, unknown>>, step: PropertyKey): unknown {
  if (typeof step === 'number') return node['items']
  const properties = asObject(node['properties'])
  return Object.hasOwn(properties, step) ? properties[String(step)] : node['additionalProperties']
}

function alternatives(node: unknown): Record<string, unknown>[] {
  const object = asObject(node)
  const inner = ['anyOf', 'oneOf', 'allOf'].flatMap((key) =>
    Array.isArray(object[key]) ? (object[key] as unknown[]) : [],
  )
  return [object, ...inner.flatMap(alternatives)]
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/** Where a path stands in the file: its key where it has one, else the nearest thing around it that exists. */
function place(
  document: Document.Parsed | undefined,
  lines: LineCounter,
  path: Path,
): { line: number; column: number } {
  for (let length = path.length; length > 0; length--) {
    const around: unknown =
      length === 1 ? document?.contents : document?.getIn(path.slice(0, length - 1), true)
    const last = path[length - 1]
    if (isMap(around)) {
      const pair = around.items.find(({ key }) => isNode(key) && String(key) === String(last))
      if (isNode(pair?.key) && pair.key.range) return position(lines, pair.key.range[0])
    }
    const node: unknown = document?.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return position(lines, node.range[0])
  }
  return { line: 1, column: 1 }
}

function position(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset)
  return { line: Math.max(1, line), column: Math.max(1, col) }
}

function dotted(path: Path): string {
  return path.map((step) => printable(String(step), 100)).join('.')
}

function invalid(name: string, problems: readonly ConfigProblem[], unlooked = 0): HostError {
  const lines = problems.slice(0, MAX_CONFIG_PROBLEMS).map(({ line, column, path, text }) => {
    return `${name}:${line}:${column} ${path === '' ? '' : `${path}: `}${printable(text, 1_000)}`
  })
  const more = problems.length - lines.length + unlooked
  if (more > 0) lines.push(`and ${more} more`)
  return new HostError('FW_CONFIG_INVALID', lines.join('\n'))
}
