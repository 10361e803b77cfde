import type { Socket } from 'node:dgram'

/** Closes a datagram socket whatever state it is in; resolves when its handle is gone. */
export async function closeSocket(socket: Socket): Promise<void> {
  socket.removeAllListeners('message').removeAllListeners('error')
  // A bind that is still under way may fail now; nobody waits for it any more.
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.close(resolve))
}
