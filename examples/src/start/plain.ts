import { pause } from '../programs/ask.js'
import { statusLine } from './build-view.js'
import type { MqttAccess } from './model.js'
import { subscribeCommand } from './mqtt-line.js'
import { mqttUrl, type Site } from './site.js'

const LOOK_MS = 500
/** One line of status in so much time. */
const STATUS_LINE_MS = 5_000

export function tellLine(text: string): void {
  process.stdout.write(`${new Date().toTimeString().slice(0, 8)} ${text}\n`)
}

/** For a log or a pipe: events as they come, how to subscribe as soon as that is known, and a status line every 5 s. */
export async function showLines(site: Site, signal: AbortSignal): Promise<void> {
  // Whoever read this went away, as in `npm start | head`.
  process.stdout.on('error', () => undefined)
  let told = ''
  let toldMs = performance.now()
  while (!signal.aborted) {
    const { mqtt, counts, sensors, upMs, step } = await site.view()
    if (mqtt?.connected && subscribeCommand(mqtt) !== told) {
      told = subscribeCommand(mqtt)
      tellAccess(mqtt)
    }
    if (step === undefined && performance.now() - toldMs >= STATUS_LINE_MS && !signal.aborted) {
      toldMs = performance.now()
      tellLine(statusLine(counts, sensors, upMs))
    }
    await pause(LOOK_MS, signal)
  }
}

function tellAccess(mqtt: MqttAccess): void {
  tellLine(`MQTT ${mqttUrl(mqtt)} user ${mqtt.user} password ${mqtt.password}`)
  tellLine(`to see the readings: ${subscribeCommand(mqtt)}`)
}
