import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { until } from '../../support/until.js'

interface WithTeardown {
  teardown(handler: () => void | Promise<void>): void
}

/** A cable between bridge and broker that the test can pull: so the judge is back before the readings are. */
export async function cable(
  t: WithTeardown,
  to: number,
): Promise<{ port: number; plug(): void; pull(): void }> {
  const sockets = new Set<Socket>()
  let plugged = true
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    if (!plugged) return void near.destroy()
    near.pipe(far)
    far.pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const pull = (): void => {
    plugged = false
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(() => {
    pull()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, plug: () => void (plugged = true), pull }
}

/** Waits until nothing has come for half a second. */
export async function quiet(messages: readonly unknown[]): Promise<void> {
  let [count, since] = [-1, 0]
  await until(
    () => {
      if (messages.length !== count) [count, since] = [messages.length, performance.now()]
      return performance.now() - since >= 500
    },
    { withinMs: 10_000, what: 'the judge to have all that mosquitto had' },
  )
}
