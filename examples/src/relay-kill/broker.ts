/**
 * Stands for the plant's own MQTT broker: a program apart, which lives on when the gateway is killed. Run by relay-kill.ts;
 * sends its port to whoever started it.
 */
import { createServer, type AddressInfo } from 'node:net'
import { Aedes } from 'aedes'
import { LOOPBACK } from '../programs/ports.js'
import { BROKER_PASSWORD_VARIABLE, BROKER_USER } from './constants.js'

const password = process.env[BROKER_PASSWORD_VARIABLE] ?? ''
const broker = new Aedes()
await broker.listen()
broker.authenticate = (_client, user, given, done) => {
  done(null, password !== '' && user === BROKER_USER && given?.toString() === password)
}

const server = createServer((socket) => void broker.handle(socket))
server.listen({ host: LOOPBACK, port: 0 }, () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.on('SIGTERM', () => {
  broker.close(() => process.exit(0))
  server.close()
})
