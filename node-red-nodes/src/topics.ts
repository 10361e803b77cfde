import {
  AGENTS_LEVEL,
  COMMAND_LEVEL,
  EVENTS_LEVEL,
  GATEWAY_LEVEL,
  MAX_NAME_BYTES,
  MAX_TEMPLATE_BYTES,
  MAX_TEMPLATE_LEVELS,
  REPLY_LEVEL,
  STATUS_LEVEL,
} from './constants.js'
import { PaletteError } from './errors.js'

/** Where a reading belongs; `labels` are the template's words besides site, agent and name. */
export interface Place {
  readonly site?: string
  readonly agent: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

/** Topics of one gateway, made from the template in its configuration (`mqtt.topic`). */
export interface Topics {
  readonly template: string
  /** A filter; what is left out is any. */
  readings(selection: { site?: string; agent?: string; name?: string }): string
  /** What the topic of a reading says, or undefined for any other topic. */
  place(topic: string): Place | undefined
  gateway(site?: string): string
  events(site?: string): string
  status(site?: string, agent?: string): string
  replies(site?: string): string
  command(site: string, agent: string): string
  /** Site and, where the topic has one, agent of the gateway's own topics. */
  own(topic: string): { readonly site: string; readonly agent?: string } | undefined
}

type Level = { readonly text: string } | { readonly word: string }

/** Throws PaletteError `FW_NODERED_SETTINGS_INVALID` for a template that a gateway would not take either. */
export function createTopics(template: string): Topics {
  const levels = parseTemplate(template)
  const root = (levels[0] as { text: string }).text
  const own = (site: string | undefined, ...rest: string[]): string =>
    [root, site === undefined ? '+' : escapeLevel(site), ...rest].join('/')
  const agentLevel = (agent: string | undefined): string => (agent === undefined ? '+' : escapeLevel(agent))
  return {
    template,
    readings(selection) {
      const chosen: Readonly<Record<string, string | undefined>> = selection
      const fill = (level: Level): string => {
        if ('text' in level) return level.text
        const value = chosen[level.word]
        return value === undefined ? '+' : escapeLevel(value)
      }
      return levels.map(fill).join('/')
    },
    place: (topic) => placeOf(levels, topic),
    gateway: (site) => own(site, GATEWAY_LEVEL),
    events: (site) => own(site, EVENTS_LEVEL),
    status: (site, agent) => own(site, AGENTS_LEVEL, agentLevel(agent), STATUS_LEVEL),
    replies: (site) => own(site, AGENTS_LEVEL, '+', REPLY_LEVEL),
    command: (site, agent) => own(site, AGENTS_LEVEL, escapeLevel(agent), COMMAND_LEVEL),
    own(topic) {
      const [first, siteLevel = '', , level] = topic.split('/')
      const site = unescapeLevel(siteLevel)
      const agent = level === undefined ? undefined : unescapeLevel(level)
      if (first !== root || site === undefined) return undefined
      return { site, ...(agent !== undefined && { agent }) }
    },
  }
}

const WORD = /^\{([a-z][a-z0-9_]{0,31})\}$/

function parseTemplate(template: string): readonly Level[] {
  const refuse = (): never => {
    throw new PaletteError('FW_NODERED_SETTINGS_INVALID', 'problem.template')
  }
  const parts = template.split('/')
  if (Buffer.byteLength(template) > MAX_TEMPLATE_BYTES || parts.length > MAX_TEMPLATE_LEVELS) refuse()
  const levels = parts.map((part): Level => {
    const word = WORD.exec(part)?.[1]
    if (word !== undefined) return { word }
    const plain = part !== '' && !/[{}]/.test(part) && isName(part) && part === escapeLevel(part)
    return plain ? { text: part } : refuse()
  })
  const words = levels.flatMap((level) => ('word' in level ? [level.word] : []))
  const unique = new Set(words).size === words.length
  if (!unique || !words.includes('agent') || !words.includes('name') || 'word' in levels[0]!) refuse()
  return levels
}

function placeOf(levels: readonly Level[], topic: string): Place | undefined {
  const parts = topic.split('/')
  if (parts.length !== levels.length) return undefined
  const found: Record<string, string> = {}
  for (const [index, level] of levels.entries()) {
    const part = parts[index]!
    if ('text' in level) {
      if (part !== level.text) return undefined
      continue
    }
    // An escaped name never begins with `$`: this is a topic of the gateway itself.
    const value = part.startsWith('$') ? undefined : unescapeLevel(part)
    if (value === undefined) return undefined
    found[level.word] = value
  }
  const { site, agent, name, ...labels } = found
  return { ...(site !== undefined && { site }), agent: agent!, name: name!, labels }
}

/** Control characters, noncharacters, what MQTT reserves, and the escape itself. */
const RESERVED = /[\p{Cc}\p{Noncharacter_Code_Point}/+#%]/gu

/**
 * A name as one topic level, as the gateway escapes it.
 * Throws PaletteError `FW_NODERED_INPUT_INVALID` for a name over 128 bytes or one that is no text.
 */
export function escapeLevel(name: string): string {
  if (!isName(name)) {
    throw new PaletteError('FW_NODERED_INPUT_INVALID', 'error.name', { limit: MAX_NAME_BYTES })
  }
  if (name === '') return '%'
  const escaped = name.replace(RESERVED, encodeURIComponent)
  return escaped.startsWith('$') ? `%24${escaped.slice(1)}` : escaped
}

function isName(text: string): boolean {
  return text.length <= MAX_NAME_BYTES && Buffer.byteLength(text) <= MAX_NAME_BYTES && text.isWellFormed()
}

/** The name behind a topic level, or undefined for a level that no gateway writes. */
export function unescapeLevel(level: string): string | undefined {
  if (level === '%') return ''
  try {
    return decodeURIComponent(level)
  } catch {
    return undefined
  }
}

/** True if a topic fits a filter of fixed levels and `+`; the filters of these nodes hold no `#`. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const found = topic.split('/')
  return (
    wanted.length === found.length && wanted.every((level, index) => level === '+' || level === found[index])
  )
}

/**
 * Filters of which no two can match the same topic, and which together match all that the given ones do. A broker may send
 * a message once for every subscription that it fits; with these it cannot. Where two overlap, the join of both stands.
 */
export function cover(filters: Iterable<string>): string[] {
  const chosen: string[][] = []
  for (const filter of filters) {
    let next = filter.split('/')
    for (let at = overlapping(chosen, next); at >= 0; at = overlapping(chosen, next)) {
      const [other] = chosen.splice(at, 1)
      next = next.map((level, index) => (level === other![index] ? level : '+'))
    }
    chosen.push(next)
  }
  return chosen.map((levels) => levels.join('/'))
}

function overlapping(chosen: readonly (readonly string[])[], levels: readonly string[]): number {
  return chosen.findIndex(
    (other) =>
      other.length === levels.length &&
      other.every((level, index) => level === '+' || levels[index] === '+' || level === levels[index]),
  )
}
