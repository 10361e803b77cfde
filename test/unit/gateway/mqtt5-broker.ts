/** A broker of MQTT 5 under the test's hand, made of the packet codec alone: it does what real ones do on bad days. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { generate, parser as createParser } from 'mqtt-packet'
import type { IConnectPacket, IPublishPacket, Packet } from 'mqtt-packet'
import type t from 'tap'

type Test = Parameters<Parameters<typeof t.test>[0]>[0]

/** What it does with a publish: acknowledges with a reason code, says DISCONNECT with one, or keeps silent. */
export type Verdict = { readonly ack: number } | { readonly disconnect: number } | 'silent'

export interface ScriptedBroker {
  readonly port: number
  readonly connects: IConnectPacket[]
  /** Everything published, refused or not. */
  readonly publishes: IPublishPacket[]
  readonly subscribed: string[]
  /** The most publishes that were without an answer at one time. */
  readonly unanswered: { most: number }
  judge: (packet: IPublishPacket) => Verdict
  /** Reason code of CONNACK and SUBACK. */
  connack: number
  suback: number
  /** Properties of CONNACK. */
  properties: Record<string, unknown>
  send(packet: Packet): void
  cut(): void
}

export async function scriptedBroker(t: Test): Promise<ScriptedBroker> {
  const sockets = new Set<Socket>()
  const write = (socket: Socket, packet: Packet): void => {
    if (!socket.destroyed) socket.write(generate(packet, { protocolVersion: 5 }))
  }
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    const parser = createParser({ protocolVersion: 5 })
    let waiting: IPublishPacket[] = []
    let answering = false
    const answer = (): void => {
      answering = false
      for (const packet of waiting.splice(0)) {
        const verdict = broker.judge(packet)
        if (verdict === 'silent') continue
        if ('ack' in verdict) {
          write(socket, { cmd: 'puback', messageId: packet.messageId!, reasonCode: verdict.ack })
          continue
        }
        write(socket, { cmd: 'disconnect', reasonCode: verdict.disconnect })
        socket.end()
        waiting = []
        return
      }
    }
    parser.on('packet', (packet) => {
      if (packet.cmd === 'connect') {
        broker.connects.push(packet)
        const { connack: reasonCode, properties } = broker
        write(socket, { cmd: 'connack', reasonCode, sessionPresent: false, properties })
        if (reasonCode !== 0) socket.end()
      } else if (packet.cmd === 'publish') {
        broker.publishes.push(packet)
        waiting.push(packet)
        broker.unanswered.most = Math.max(broker.unanswered.most, waiting.length)
        // Not at once, so that a client that sends on without an answer is seen.
        if (!answering) setTimeout(answer, 5)
        answering = true
      } else if (packet.cmd === 'subscribe') {
        broker.subscribed.push(...packet.subscriptions.map(({ topic }) => topic))
        write(socket, { cmd: 'suback', messageId: packet.messageId!, granted: [broker.suback] })
      } else if (packet.cmd === 'pingreq') write(socket, { cmd: 'pingresp' })
    })
    socket.on('data', (chunk) => parser.parse(chunk))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const broker: ScriptedBroker = {
    port: (server.address() as AddressInfo).port,
    connects: [],
    publishes: [],
    subscribed: [],
    unanswered: { most: 0 },
    judge: () => ({ ack: 0 }),
    connack: 0,
    suback: 1,
    properties: {},
    send: (packet) => {
      for (const socket of sockets) write(socket, packet)
    },
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
  return broker
}
