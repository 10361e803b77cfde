import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { NEIGHBOUR_PORTS } from './constants.js'

export const LOOPBACK = '127.0.0.1'

/** The wanted TCP port of loopback if it is free, else one of the twenty after it, else any free one. 0: any. */
export async function freeTcpPort(wanted: number): Promise<number> {
  return firstFree(wanted, tryTcp)
}

/** The same for the UDP port of beacons, which programs of one machine share. */
export async function freeBeaconPort(wanted: number): Promise<number> {
  return firstFree(wanted, tryUdp)
}

async function firstFree(
  wanted: number,
  attempt: (port: number) => Promise<number | undefined>,
): Promise<number> {
  const last = Math.min(65_535, wanted + NEIGHBOUR_PORTS)
  for (let port = wanted; port > 0 && port <= last; port += 1) {
    if ((await attempt(port)) !== undefined) return port
  }
  const any = await attempt(0)
  if (any === undefined) throw new Error(`No free port was found on ${LOOPBACK}.`)
  return any
}

function tryTcp(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined))
    })
  })
}

/** As a program binds it: on all addresses, shared with those who share it too. */
function tryUdp(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    socket.once('error', () => {
      socket.close()
      resolve(undefined)
    })
    socket.bind({ port, exclusive: true }, () => {
      const { port: found } = socket.address()
      socket.close(() => resolve(found))
    })
  })
}
