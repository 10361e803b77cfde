import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { Aedes } from 'aedes'

interface WithTeardown {
  teardown(handler: () => void | Promise<void>): void
}

/** A broker that remembers the ids of the counter's readings and their values. */
export async function startBroker(
  t: WithTeardown,
): Promise<{ port: number; seen: Map<string, Set<number>> }> {
  const aedes = await Aedes.createBroker()
  const seen = new Map<string, Set<number>>()
  aedes.on('publish', ({ topic, payload }) => {
    if (!topic.endsWith('/counter')) return
    const { id, value } = JSON.parse(String(payload)) as { id: string; value: number }
    seen.set(id, (seen.get(id) ?? new Set()).add(value))
  })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    aedes.handle(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await new Promise<void>((resolve) => aedes.close(resolve))
  })
  return { port: (server.address() as AddressInfo).port, seen }
}
