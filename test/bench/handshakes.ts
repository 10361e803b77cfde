/**
 * How many handshakes the gateway's worker opens in a second: the figure behind `worker_share` in docs/limits.md.
 *
 *   npm run bench:handshakes
 */
import { tmpdir } from 'node:os'
import type { HelloJob } from '@fieldwhisper/gateway/core'
import { HandshakeWorker } from '../../gateway/dist/handshake/worker-pool.js'
import { settled } from '../unit/gateway/core-scenes.js'
import { describeMachine } from './machine.js'
import { median } from './statistics.js'

const JOBS = 20
const ROUNDS = 8
const ROUND_MS = 1_000
const SHARES = [100, 25]

/** Jobs as the door makes them. */
async function jobs(): Promise<readonly HelloJob[]> {
  const { gateway, agent } = await settled()
  gateway.workAtOnce = false
  for (let i = 0; i < JOBS; i++) await gateway.link(20 + i, agent.lost(gateway.record!).hello)
  return gateway.jobs
}

/** Opened in each of some seconds, one after the other, at this share of a core. */
async function rates(share: number, made: readonly HelloJob[]): Promise<readonly number[]> {
  return new Promise((resolve, reject) => {
    const rounds: number[] = []
    let done = 0
    let began = 0
    const worker = new HandshakeWorker(
      share,
      (result) => {
        if (!result.opened) return reject(new Error('a hello did not open'))
        done++
        const took = performance.now() - began
        if (took >= ROUND_MS) {
          // The first round begins with the machine's and warms the thread up.
          if (began > 0) rounds.push((done * 1_000) / took)
          done = 0
          began = performance.now()
        }
        if (rounds.length === ROUNDS) void worker.stop().then(() => resolve(rounds))
        else worker.open(made[done % made.length]!)
      },
      reject,
    )
    worker.open(made[0]!)
  })
}

const { processor, cores, node } = describeMachine(tmpdir())
console.log(`${processor}, ${cores} cores, Node ${node}`)
const made = await jobs()
for (const share of SHARES) {
  const seconds = await rates(share, made)
  const [most, middle] = [Math.max(...seconds), median(seconds)].map((count) => count.toFixed(0))
  console.log(
    `worker_share ${share}: ${most} handshakes in the best of ${ROUNDS} seconds, ${middle} in the median`,
  )
}
