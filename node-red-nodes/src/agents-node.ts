import { MAX_COUNTED_AGENTS } from './constants.js'
import { PaletteError } from './errors.js'
import type { GatewayLink } from './link.js'
import { parsePattern, type Pattern } from './pattern.js'
import { isRecord, parse } from './readings.js'
import { textOf, type Config, type Node, type Red, type Status } from './red.js'
import { Repeats } from './repeats.js'
import { useGateway } from './user.js'

const LEVELS = ['info', 'warn', 'error']

/** Output 1: the state of agents and of the gateway. Output 2: events of the gateway. */
export function registerAgents(RED: Red): void {
  function FieldwhisperAgents(this: Node, config: Config): void {
    RED.nodes.createNode(this, config)
    const repeats = new Repeats()
    const states = new Map<string, string>()
    const least = Math.max(0, LEVELS.indexOf(textOf(config, 'level')))
    let agent: Pattern | undefined
    let ends: readonly (() => void)[] = []

    const status = (link: GatewayLink): Status => {
      if (!agent) return { fill: 'red', shape: 'ring', text: RED._('status.pattern') }
      if (!link.allowed(link.topics.status(link.site, agent.only))) {
        return { fill: 'red', shape: 'ring', text: RED._('status.forbidden') }
      }
      return summary(RED, [...states.values()])
    }
    const user = useGateway(RED, this, config, {
      status,
      closed: () => ends.forEach((end) => end()),
    })
    const { link } = user
    if (!link) return
    const { topics, site } = link
    const wanted = (name: string | undefined): boolean => name === undefined || agent?.fits(name) === true

    const onStatus = (topic: string, payload: Buffer, retained: boolean): void => {
      const own = topics.own(topic)
      if (own?.agent === undefined || !wanted(own.agent) || repeats.seen(topic, payload, retained)) return
      const json = payload.length === 0 ? { state: 'removed' } : parse(payload.toString('utf8'))
      if (!isRecord(json)) return
      const state = typeof json['state'] === 'string' ? json['state'] : 'unknown'
      if (state === 'removed') states.delete(topic)
      else if (states.has(topic) || states.size < MAX_COUNTED_AGENTS) states.set(topic, state)
      user.refresh()
      this.send([
        { topic, payload: { kind: 'agent', site: own.site, agent: own.agent, ...json, state } },
        null,
      ])
    }
    const onGateway = (topic: string, payload: Buffer, retained: boolean): void => {
      const own = topics.own(topic)
      const json = parse(payload.toString('utf8'))
      if (!own || !isRecord(json) || repeats.seen(topic, payload, retained)) return
      this.send([{ topic, payload: { kind: 'gateway', site: own.site, ...json } }, null])
    }
    const onEvent = (topic: string, payload: Buffer, retained: boolean): void => {
      const json = parse(payload.toString('utf8'))
      if (!isRecord(json)) return
      const { id, level, agent: name } = json
      // A level that this release does not know is shown.
      const rank = LEVELS.indexOf(String(level))
      if ((rank >= 0 && rank < least) || !wanted(typeof name === 'string' ? name : undefined)) return
      if (repeats.seen(topic, payload, retained, typeof id === 'string' ? id : undefined)) return
      this.send([null, { topic, payload: json }])
    }
    try {
      agent = parsePattern(textOf(config, 'agent'))
      ends = [
        link.subscribe(topics.status(site, agent.only), onStatus),
        link.subscribe(topics.gateway(site), onGateway),
        link.subscribe(topics.events(site), onEvent),
      ]
    } catch (error) {
      if (!(error instanceof PaletteError)) throw error
      agent = undefined
      this.warn(user.explain(error).message)
    }
    user.refresh()
  }
  RED.nodes.registerType('fieldwhisper-agents', FieldwhisperAgents)
}

/** How many are well, late and away. */
function summary(RED: Red, states: readonly string[]): Status {
  if (states.length === 0) return { fill: 'green', shape: 'dot', text: RED._('status.connected') }
  const online = states.filter((state) => state === 'online').length
  const late = states.filter((state) => state === 'late').length
  const away = states.length - online - late
  const text = RED._('status.agents', { online, late, away })
  if (away > 0) return { fill: 'red', shape: 'ring', text }
  return late > 0 ? { fill: 'yellow', shape: 'dot', text } : { fill: 'green', shape: 'dot', text }
}
