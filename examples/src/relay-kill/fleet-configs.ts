import { stringify } from 'yaml'
import { LOOPBACK } from '../programs/ports.js'
import { BATCH_INTERVAL, BROKER_USER, READINGS_PER_SECOND } from './constants.js'

/** No such interface: no beacons are sent or heard, links come by `peers` alone. */
const NO_BEACONS = { interfaces: ['none'] }

export function relayConfig(port: number): string {
  return stringify({ listen: `${LOOPBACK}:${port}` })
}

export function gatewayConfig(options: {
  readonly linkPort: number
  readonly relayPort: number
  readonly relayToken: string
  readonly brokerPort: number
  readonly brokerPassword: string
}): string {
  const { linkPort, relayPort, relayToken, brokerPort, brokerPassword } = options
  return stringify({
    lan: { ...NO_BEACONS, listen: `${LOOPBACK}:${linkPort}` },
    relays: [{ url: `ws://${LOOPBACK}:${relayPort}`, token: relayToken }],
    mqtt: { url: `mqtt://${LOOPBACK}:${brokerPort}`, user: BROKER_USER, password: brokerPassword },
  })
}

/** An agent that numbers its readings and reaches the gateway through the gate. */
export function agentConfig(gatePort: number): string {
  return stringify({
    sources: [
      { type: 'simulate', rate: READINGS_PER_SECOND, readings: [{ name: 'counter', waveform: 'counter' }] },
    ],
    batch: { interval: BATCH_INTERVAL },
    lan: { ...NO_BEACONS, peers: [`${LOOPBACK}:${gatePort}`], listen: `${LOOPBACK}:0` },
  })
}
