import { crypto, openHello } from '@fieldwhisper/protocol'
import { errorText } from '@fieldwhisper/host'
import { parentPort } from 'node:worker_threads'
import type { HelloJob, HelloResult } from '../core/ports.js'

/** The thread that does the public-key work of hellos, one after the other. */
parentPort?.on('message', (job: HelloJob) => parentPort?.postMessage(work(job)))

const NO_KEYS = { agreementKey: new Uint8Array(0), kemKey: new Uint8Array(0) }

function work({ id, packet, secrets, oneTime }: HelloJob): HelloResult {
  try {
    const opened = openHello(packet, secrets)
    if (!opened) return { id, ...NO_KEYS }
    const agreementKey = crypto.agreementKey(oneTime.prekeySecret).publicKey
    return { id, opened, agreementKey, kemKey: crypto.kem.publicKey(oneTime.kemSeed) }
  } catch (error) {
    // No packet may end the thread: a relay would bring it again after every restart.
    return { id, ...NO_KEYS, failure: errorText(error) }
  }
}
