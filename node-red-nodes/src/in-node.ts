import { PaletteError } from './errors.js'
import type { GatewayLink } from './link.js'
import { parsePattern, type Pattern } from './pattern.js'
import { decodeReading, isRecord, parse } from './readings.js'
import { textOf, type Config, type Node, type Red, type Status } from './red.js'
import { Repeats } from './repeats.js'
import { useGateway } from './user.js'

/** What a node lets through besides live readings. */
type History = 'all' | 'live' | 'late'

/** Readings of the agents and names chosen, as messages. */
export function registerIn(RED: Red): void {
  function FieldwhisperIn(this: Node, config: Config): void {
    RED.nodes.createNode(this, config)
    const repeats = new Repeats()
    const history = historyOf(textOf(config, 'history'))
    const wantsCurrent = config['current'] !== false
    let choice: Choice | undefined
    let agentState: string | undefined
    let ends: readonly (() => void)[] = []

    const status = (link: GatewayLink): Status => {
      if (choice === undefined) return { fill: 'red', shape: 'ring', text: RED._('status.pattern') }
      if (!link.allowed(choice.filter(link))) {
        return { fill: 'red', shape: 'ring', text: RED._('status.forbidden') }
      }
      return agentStatus(RED, choice.agent.only, agentState)
    }
    const user = useGateway(RED, this, config, {
      status,
      closed: () => ends.forEach((end) => end()),
    })
    const { link } = user
    if (!link) return
    try {
      choice = choose(config)
      const { agent, name, filter } = choice
      ends = [
        link.subscribe(filter(link), (topic, payload, retained) => {
          const place = payload.length === 0 ? undefined : link.topics.place(topic)
          if (place === undefined || !agent.fits(place.agent) || !name.fits(place.name)) return
          const { value, ...more } = decodeReading(payload)
          if (repeats.seen(topic, payload, retained, more.id)) return
          if (retained && !wantsCurrent) return
          if (history !== 'all' && (more.historical === true) !== (history === 'late')) return
          this.send({ topic, payload: value, reading: { ...place, ...more, retained } })
        }),
        ...(agent.only === undefined
          ? []
          : [
              link.subscribe(link.topics.status(link.site, agent.only), (_topic, payload) => {
                const json = parse(payload.toString('utf8'))
                agentState = isRecord(json) && typeof json['state'] === 'string' ? json['state'] : undefined
                user.refresh()
              }),
            ]),
      ]
    } catch (error) {
      if (!(error instanceof PaletteError)) throw error
      choice = undefined
      this.warn(user.explain(error).message)
    }
    user.refresh()
  }
  RED.nodes.registerType('fieldwhisper-in', FieldwhisperIn)
}

interface Choice {
  readonly agent: Pattern
  readonly name: Pattern
  /** The least that the broker must send for it. */
  readonly filter: (link: GatewayLink) => string
}

/** Throws PaletteError for patterns and names that no gateway has. */
function choose(config: Config): Choice {
  const agent = parsePattern(textOf(config, 'agent'))
  const name = parsePattern(textOf(config, 'reading'))
  return {
    agent,
    name,
    filter: ({ site, topics }: GatewayLink): string =>
      topics.readings({
        ...(site !== undefined && { site }),
        ...(agent.only !== undefined && { agent: agent.only }),
        ...(name.only !== undefined && { name: name.only }),
      }),
  }
}

function historyOf(text: string): History {
  return text === 'live' || text === 'late' ? text : 'all'
}

function agentStatus(RED: Red, agent: string | undefined, state: string | undefined): Status {
  if (agent === undefined || state === undefined || state === 'online') {
    return { fill: 'green', shape: 'dot', text: RED._('status.connected') }
  }
  const known = ['late', 'offline', 'revoked', 'waiting', 'copied'].includes(state)
  const text = known ? RED._(`status.agent-${state}`, { agent }) : `${agent}: ${state}`
  return state === 'late' ? { fill: 'yellow', shape: 'dot', text } : { fill: 'red', shape: 'ring', text }
}
