import { GatewayError } from '../errors.js'
import {
  AGENTS_LEVEL,
  COMMAND_LEVEL,
  DEFAULT_TOPIC_TEMPLATE,
  EVENTS_LEVEL,
  GATEWAY_LEVEL,
  HISTORY_LEVEL,
  MAX_LEVEL_BYTES,
  MAX_TEMPLATE_BYTES,
  MAX_TEMPLATE_LEVELS,
  NO_LABEL,
  REPLY_LEVEL,
  STATUS_LEVEL,
} from './constants.js'
import { encodePayload } from './payload.js'
import type { AgentStatusPayload, EventPayload, GatewayStatusPayload, ReadingPayload } from './payload.js'

/**
 * Everything the gateway publishes: which kind of topic carries which payload. Levels in braces are escaped.
 *
 * | kind    | topic                                        | retained | payload                |
 * |---------|----------------------------------------------|----------|------------------------|
 * | reading | `fieldwhisper/{site}/{agent}/{name}`         | if live  | `ReadingPayload`, or as `mqtt.payload` says |
 * | gateway | `fieldwhisper/{site}/$gateway`               | yes      | `GatewayStatusPayload` |
 * | events  | `fieldwhisper/{site}/$events`                | no       | `EventPayload`         |
 * | agent   | `fieldwhisper/{site}/$agents/{agent}/status` | yes      | `AgentStatusPayload`   |
 * | reply   | `fieldwhisper/{site}/$agents/{agent}/reply`  | no       | `CommandReplyPayload`  |
 *
 * An escaped name never begins with `$`, so no agent can take the gateway's own topics; and these have another number of
 * levels, so that `fieldwhisper/+/+/+` finds readings and nothing else.
 */
export interface TopicPayloads {
  readonly reading: ReadingPayload
  readonly gateway: GatewayStatusPayload
  readonly events: EventPayload
  readonly agent: AgentStatusPayload
}

declare const kindOfTopic: unique symbol
/** A topic that carries payloads of one kind only. */
export type Topic<Kind extends keyof TopicPayloads> = string & { readonly [kindOfTopic]: Kind }

/** One publish, QoS 1 unless it says otherwise. An empty payload that is retained removes what was retained. */
export interface Message {
  readonly topic: string
  readonly payload: Uint8Array
  readonly retain: boolean
  /** 0: nobody says that it arrived. */
  readonly qos?: 0 | 1
  /** Carried by MQTT 5 only; a subscriber must not need them. */
  readonly properties?: MessageProperties
}

/** What MQTT 5 carries beside a payload (MQTT 5.0, section 3.3.2.3). 3.1.1 and the embedded broker leave it out. */
export interface MessageProperties {
  /** User properties: names and values. */
  readonly user?: Readonly<Record<string, string>>
  /** Such as `application/senml+json`. */
  readonly contentType?: string
  /** After so many seconds the broker gives it to nobody. */
  readonly expirySeconds?: number
  /** Where the answer is expected, and what it must carry. */
  readonly responseTopic?: string
  readonly correlation?: Uint8Array
}

export interface Topics {
  /** First level, under which nobody but the gateway may publish. */
  readonly root: string
  /** Finds every reading: for a subscriber's command line. */
  readonly readings: string
  readonly gateway: Topic<'gateway'>
  readonly events: Topic<'events'>
  agent(agent: string): Topic<'agent'>
  /** Finds every request of a command. */
  readonly commands: string
  /** Where its answer goes unless the client wants it elsewhere. */
  reply(agent: string): string
  /** Throws GatewayError `FW_TOPIC_NAME_INVALID` for names over 128 bytes. */
  reading(agent: string, name: string): Topic<'reading'>
  /** Where a reading goes that was taken long ago, in a form that cannot say so. */
  history(reading: Topic<'reading'>): Topic<'reading'>
}

/** What the operator knows of each agent, by its name: `area: press-shop`, `line: "2"`. */
export type Labels = Readonly<Record<string, Readonly<Record<string, string>>>>

/** The only way to make a message: topic and payload belong together. */
export function message<Kind extends keyof TopicPayloads>(
  topic: Topic<Kind>,
  payload: TopicPayloads[Kind],
  retain: boolean,
): Message {
  return { topic, payload: encodePayload(payload), retain }
}

/** The message that removes what is retained at a topic. */
export function removal(topic: string): Message {
  return { topic, payload: new Uint8Array(0), retain: true }
}

/**
 * @param site name of the site, 1 to 128 bytes
 * @param template levels with `{site}`, `{agent}`, `{name}` and labels; see `parseTemplate`
 * @param labels fill the other placeholders; an agent without one has `unassigned` there
 * @throws GatewayError `FW_TOPIC_TEMPLATE_INVALID`, `FW_TOPIC_NAME_INVALID`
 */
export function createTopics(
  site: string,
  template: string = DEFAULT_TOPIC_TEMPLATE,
  labels: Labels = {},
): Topics {
  const levels = parseTemplate(template)
  const root = levels[0]!
  const siteLevel = escapeLevel(site)
  const fill = (slots: Readonly<Record<string, string>>): string =>
    levels.map((level) => (isSlot(level) ? slotOf(slots, level.slice(1, -1)) : level)).join('/')
  const anyLabel = Object.fromEntries(labelsOf(levels).map((label) => [label, '+']))
  const escapedLabels = new Map(Object.entries(labels).map(([agent, values]) => [agent, escaped(values)]))
  const base = `${root}/${siteLevel}`
  return {
    root,
    readings: fill({ ...anyLabel, site: siteLevel, agent: '+', name: '+' }),
    gateway: `${base}/${GATEWAY_LEVEL}` as Topic<'gateway'>,
    events: `${base}/${EVENTS_LEVEL}` as Topic<'events'>,
    commands: `${base}/${AGENTS_LEVEL}/+/${COMMAND_LEVEL}`,
    reply: (agent) => `${base}/${AGENTS_LEVEL}/${escapeLevel(agent)}/${REPLY_LEVEL}`,
    agent: (agent) => `${base}/${AGENTS_LEVEL}/${escapeLevel(agent)}/${STATUS_LEVEL}` as Topic<'agent'>,
    reading: (agent, name) => {
      const names = { site: siteLevel, agent: escapeLevel(agent), name: escapeLevel(name) }
      return fill({ ...escapedLabels.get(agent), ...names }) as Topic<'reading'>
    },
    history: (reading) => `${reading}/${HISTORY_LEVEL}` as Topic<'reading'>,
  }
}

/** Placeholders that every agent fills. */
const NAMES = ['site', 'agent', 'name']
const LABEL = /^[a-z][a-z0-9_]{0,31}$/

/** Whether agents may have a label of this name. */
export function isLabelName(text: string): boolean {
  return LABEL.test(text) && !NAMES.includes(text)
}

/** The labels that a template uses. */
export function labelsOf(levels: readonly string[]): readonly string[] {
  return levels
    .filter(isSlot)
    .map((level) => level.slice(1, -1))
    .filter(isLabelName)
}

function isSlot(level: string): boolean {
  return level.startsWith('{')
}

function slotOf(slots: Readonly<Record<string, string>>, slot: string): string {
  return Object.hasOwn(slots, slot) ? slots[slot]! : NO_LABEL
}

function escaped(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).map(([label, value]) => [label, escapeLevel(value)]))
}

/**
 * The levels of a template. The first is fixed text, so that it can be kept for the gateway; `{agent}` and `{name}` stand
 * once each, `{site}` and labels at most once, and each alone in its level, so that two readings never share a topic.
 * Throws GatewayError `FW_TOPIC_TEMPLATE_INVALID` with the reason.
 */
export function parseTemplate(template: string): readonly string[] {
  const levels = template.split('/')
  const refuse = (why: string): never => {
    throw new GatewayError('FW_TOPIC_TEMPLATE_INVALID', `The topic template ${why}.`)
  }
  if (Buffer.byteLength(template) > MAX_TEMPLATE_BYTES) refuse(`is longer than ${MAX_TEMPLATE_BYTES} bytes`)
  if (levels.length > MAX_TEMPLATE_LEVELS) refuse(`has more than ${MAX_TEMPLATE_LEVELS} levels`)
  for (const level of levels) {
    const slot = /^\{(.*)\}$/.exec(level)?.[1]
    if (slot !== undefined && (NAMES.includes(slot) || isLabelName(slot))) {
      if (levels.filter((other) => other === level).length > 1) refuse(`holds ${level} more than once`)
      continue
    }
    if (/[{}]/.test(level))
      refuse('has a level that is neither plain text nor {site}, {agent}, {name} or a label in braces, alone')
    if (level !== escapeLevel(level)) refuse('has an empty level or one with a character that MQTT reserves')
  }
  for (const needed of ['{agent}', '{name}']) if (!levels.includes(needed)) refuse(`lacks a level ${needed}`)
  if (isSlot(levels[0]!)) refuse('must begin with a fixed first level')
  return levels
}

/** Control characters, noncharacters (brokers cut connections over them), what MQTT reserves, and the escape itself. */
const RESERVED = /[\p{Cc}\p{Noncharacter_Code_Point}/+#%]/gu

/**
 * A name as one topic level: reserved characters and a `$` at the start become `%XX` of their UTF-8 bytes (RFC 3986), the
 * empty name a lone `%`. `unescapeLevel` (for names that are not empty also `decodeURIComponent`) gives the name back.
 * Throws GatewayError `FW_TOPIC_NAME_INVALID` for a name over 128 bytes.
 */
export function escapeLevel(name: string): string {
  if (name.length > MAX_LEVEL_BYTES || Buffer.byteLength(name) > MAX_LEVEL_BYTES) {
    throw new GatewayError(
      'FW_TOPIC_NAME_INVALID',
      `A name of ${Buffer.byteLength(name)} bytes does not fit a topic level; at most ${MAX_LEVEL_BYTES} are allowed.`,
    )
  }
  if (name === '') return '%'
  const escaped = name.replace(RESERVED, encodeURIComponent)
  return escaped.startsWith('$') ? `%24${escaped.slice(1)}` : escaped
}

/** The name behind a topic level. Throws URIError for a level that `escapeLevel` never makes. */
export function unescapeLevel(level: string): string {
  return level === '%' ? '' : decodeURIComponent(level)
}
