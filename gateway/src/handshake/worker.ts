import { crypto, openHello } from '@fieldwhisper/protocol'
import { parentPort } from 'node:worker_threads'
import type { HelloJob, HelloResult } from '../core/ports.js'

/** The thread that does the public-key work of hellos, one after the other. */
parentPort?.on('message', (job: HelloJob) => parentPort?.postMessage(work(job)))

function work({ id, packet, secrets, oneTime }: HelloJob): HelloResult {
  const opened = openHello(packet, secrets)
  return {
    id,
    ...(opened && { opened }),
    agreementKey: opened ? crypto.agreementKey(oneTime.prekeySecret).publicKey : new Uint8Array(0),
    kemKey: opened ? crypto.kem.publicKey(oneTime.kemSeed) : new Uint8Array(0),
  }
}
