/** The peer's broker: aedes behind TLS, nothing added. */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:tls'
import { Aedes } from 'aedes'
import { serve } from './serve.js'

/** As many at once as the gateway's own broker handles: aedes' own default of 100 would be slower. */
const CONCURRENCY = 512

serve({
  async listen({ certificate, key }: { certificate: string; key: string }) {
    const broker = new Aedes({ concurrency: CONCURRENCY })
    await broker.listen()
    const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, broker.handle)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    return (server.address() as AddressInfo).port
  },
})
