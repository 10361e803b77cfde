import { durationText, plural } from './format.js'
import type { Delivered } from './delivered.js'
import type { Counts, MqttAccess, Path, ProgramView, Sensor } from './model.js'
import type { AgentReport, GatewayReport, RelayReport } from './statuses.js'

/** A value at the agent that is so much newer than the one in MQTT is waiting; less is the way it takes. */
const ON_ITS_WAY_MS = 5_000

const byName = new Intl.Collator('en', { numeric: true })

/** The sensors of this machine by name; a value that MQTT has carries its path. */
export function sensorsOf(
  agent: AgentReport | undefined,
  delivered: ReadonlyMap<string, Delivered>,
  nowWallMs: number,
): Sensor[] {
  const arrived = ({ value, unit, path, madeWallMs }: Delivered, name: string): Sensor => {
    const ageMs = Math.max(0, nowWallMs - madeWallMs)
    return { name, value, path, ageMs, ...(unit !== undefined && { unit }) }
  }
  const latest = agent?.latest ?? []
  const own = latest.map(({ name, unit, value, agoMs }): Sensor => {
    const inMqtt = delivered.get(name)
    if (inMqtt && nowWallMs - inMqtt.madeWallMs - agoMs < ON_ITS_WAY_MS) return arrived(inMqtt, name)
    return { name, value, ageMs: agoMs, ...(unit !== undefined && { unit }) }
  })
  // Retained values of a sensor that has not reported since the start.
  const known = new Set(latest.map(({ name }) => name))
  const others = [...delivered].filter(([name]) => !known.has(name))
  const all = [...own, ...others.map(([name, one]) => arrived(one, name))]
  return all.sort((a, b) => byName.compare(a.name, b.name))
}

export function countsOf(agent: AgentReport | undefined, lastPath: Path | undefined): Counts | undefined {
  if (!agent) return undefined
  return {
    sealed: agent.sealed,
    acknowledged: agent.acknowledgedPackets,
    held: agent.spool.held,
    lost: agent.lost,
    ...(lastPath !== undefined && { lastPath }),
  }
}

/** Where to subscribe, as the gateway says; undefined until it does. */
export function mqttAccess(
  gateway: GatewayReport | undefined,
  passwordOf: (file: string | undefined) => string | undefined,
): MqttAccess | undefined {
  const mqtt = gateway?.mqtt
  const password = mqtt ? passwordOf(mqtt.passwordFile) : undefined
  if (!mqtt || password === undefined || !URL.canParse(mqtt.broker.address)) return undefined
  const { hostname, port } = new URL(mqtt.broker.address)
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port) || 1_883,
    user: mqtt.user ?? '',
    password,
    topic: mqtt.topics,
    connected: mqtt.broker.connected,
  }
}

type State = ProgramView['state']

export function programViews(
  states: { readonly relay: State; readonly gateway: State; readonly agent: State },
  reports: {
    readonly relay?: RelayReport | undefined
    readonly gateway?: GatewayReport | undefined
    readonly agent?: AgentReport | undefined
  },
): ProgramView[] {
  const { relay, gateway, agent } = reports
  const links = plural(gateway?.lan?.links ?? 0, 'lan link')
  return [
    {
      name: 'relay',
      state: states.relay,
      detail: relay?.ok ? `${relay.listen}, holds ${relay.packets}` : '',
    },
    {
      name: 'gateway',
      state: states.gateway,
      detail: gateway ? `${gateway.healthy ? 'healthy' : 'not healthy'}, ${links}` : '',
    },
    { name: 'agent', state: states.agent, detail: agent?.name ?? '' },
  ]
}

/** One line for a log: everything that changes. */
export function statusLine(counts: Counts | undefined, sensors: readonly Sensor[], upMs: number): string {
  if (!counts) return `up ${durationText(upMs)}, the agent does not answer yet`
  const { sealed, acknowledged, held, lost, lastPath } = counts
  return [
    `up ${durationText(upMs)}`,
    plural(sensors.length, 'sensor'),
    `last copy ${lastPath ?? '-'}`,
    `sealed ${sealed}`,
    `acknowledged ${acknowledged}`,
    `in the spool ${held}`,
    `lost ${lost}`,
  ].join(', ')
}
