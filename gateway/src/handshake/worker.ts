import { crypto, openHello } from '@fieldwhisper/protocol'
import { errorText } from '@fieldwhisper/host'
import { parentPort } from 'node:worker_threads'
import type { HelloJob, HelloResult } from '../core/ports.js'

export interface WorkDone {
  readonly result: HelloResult
  /** Of this thread: its start and the way of a message do not count as work. */
  readonly tookMs: number
}

/** The thread that does the public-key work of hellos, one after the other. */
parentPort?.on('message', (job: HelloJob) => {
  const began = performance.now()
  const result = work(job)
  const done: WorkDone = { result, tookMs: performance.now() - began }
  parentPort?.postMessage(done)
})

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
