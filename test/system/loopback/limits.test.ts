import { createServer, type AddressInfo } from 'node:net'
import { encodeInvite } from '@fieldwhisper/protocol'
import t from 'tap'
import { WebSocket } from 'ws'
import { temporaryFolder } from '../../support/folder.js'
import { within } from '../../support/until.js'
import { here } from '../support/process.js'
import { ScriptedLink } from '../support/scripted-link.js'
import { Agent, Gateway, Relay } from '../support/site.js'

/*
 * What stands under `limits:` in a file governs the program that was started with it; each limit by itself has a unit test.
 */

/** Half of two places are for links that delivered something. */
const TWO_LINKS = { limits: { inbound_links: 2 } }

/** Of a site that is nowhere: an agent that tries to join has its LAN open. */
const INVITE = encodeInvite({
  siteFingerprint: new Uint8Array(16).fill(1),
  directorySlot: new Uint8Array(16).fill(2),
  id: 0x8000_0001,
  secret: new Uint8Array(32).fill(3),
  relays: [],
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** The HTTP status of the answer to an upgrade. */
function upgrade(url: string): Promise<{ readonly status: number; readonly socket: WebSocket }> {
  const socket = new WebSocket(url)
  socket.on('error', () => undefined)
  return within(
    new Promise((resolve) => {
      socket.once('open', () => resolve({ status: 101, socket }))
      socket.once('unexpected-response', (_request, { statusCode }) =>
        resolve({ status: statusCode ?? 0, socket }),
      )
    }),
    { withinMs: 5_000, what: 'an answer to the upgrade' },
  )
}

void t.test('a relay with one place takes one client', async (t) => {
  const limits = { connections: 1, stranger_part: 1 }
  const relay = new Relay(here, { folder: temporaryFolder(t) }, { open: true, limits })
  const program = relay.spawn('run', '--listen', '127.0.0.1:0')
  t.teardown(() => program.kill())
  const { listen } = await relay.untilStatus<{ listen: string; ok: boolean }>(({ ok }) => ok, {
    withinMs: 20_000,
    what: 'the relay runs',
  })
  const first = await upgrade(`ws://${listen}/v1`)
  const second = await upgrade(`ws://${listen}/v1`)
  t.equal(first.status, 101)
  t.equal(second.status, 503)
  first.socket.terminate()
})

for (const kind of ['gateway', 'agent'] as const) {
  void t.test(
    `${kind === 'agent' ? 'an agent' : 'a gateway'} with two places refuses the second stranger`,
    async (t) => {
      const folder = temporaryFolder(t)
      const port = await freePort()
      const lan = { interfaces: ['lo'], loopback: true, listen: `127.0.0.1:${port}`, beacon_port: 24_998 }
      const member =
        kind === 'gateway'
          ? new Gateway(here, { folder }, { lan, ...TWO_LINKS })
          : new Agent(here, 'pump', { folder }, { lan, sources: [], ...TWO_LINKS })
      if (kind === 'gateway') await member.command('init', '--site', 'test')
      else await member.command('join', INVITE, '--detach')
      const program = member.spawn('run')
      t.teardown(() => program.kill())
      await member.untilStatus(() => true, { withinMs: 20_000, what: `the ${kind} runs` })
      const links = [await ScriptedLink.open(port), await ScriptedLink.open(port)]
      t.teardown(() => Promise.all(links.map((link) => link.close())))
      await program.line(/FW_LAN_LINK_REFUSED .*1 of 2 links/, 5_000)
      t.equal((await program.stop()).code, 0)
    },
  )
}
