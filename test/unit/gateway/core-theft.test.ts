import { createHmac } from 'node:crypto'
import { CORE_TABLES, type HelloJob } from '@fieldwhisper/gateway/core'
import t, { type Test } from 'tap'
import type { AgentSession } from '../../support/scripted-agent.js'
import type { CoreHarness } from './core-harness.js'
import { settled, type Scene } from './core-scenes.js'

/*
 * A gateway's disk is taken after a rekey, and somebody has recorded all packets before (promise P5): what would open them is not
 * there any more. Each secret is looked for byte by byte in everything that the core keeps.
 */

const DAY_MS = 86_400_000
const DEPTH = 16

function taken(gateway: CoreHarness): Buffer {
  const values = CORE_TABLES.flatMap((table) => [...gateway.store.range(table)].map(({ value }) => value))
  return Buffer.concat(values.map((value) => Buffer.from(value)))
}

interface Found {
  readonly disk: Buffer
  readonly test: Test
}

function gone({ disk, test }: Found, secrets: Readonly<Record<string, Uint8Array>>): void {
  for (const [what, secret] of Object.entries(secrets))
    test.notOk(disk.includes(Buffer.from(secret)), `${what} is gone`)
}

/** So that a search which finds nothing anywhere does not count. */
function there({ disk, test }: Found, secrets: Readonly<Record<string, Uint8Array>>): void {
  for (const [what, secret] of Object.entries(secrets))
    test.ok(disk.includes(Buffer.from(secret)), `${what} is kept`)
}

/** From the root down to the leaf of a counter, as docs/protocol.md section 5.2 says, with nothing of the product. */
function nodesTo(root: Uint8Array, counter: number): Buffer[] {
  const nodes = [Buffer.from(root)]
  for (let bit = DEPTH - 1; bit >= 0; bit--) {
    const children = createHmac('sha512', nodes.at(-1)!).update('fw1 node').digest()
    nodes.push((counter >> bit) & 1 ? children.subarray(32) : children.subarray(0, 32))
  }
  return nodes
}

async function rekey({ gateway, agent, session }: Scene): Promise<{ scene: Scene; hello: HelloJob }> {
  const next: AgentSession = agent.continue(session, agent.prekey!.oneTime, [agent.reading(5)])
  await gateway.link(1, next.hello)
  agent.read(next, gateway.answers())
  const data = agent.empty({ ready: true, oldestSession: next.secrets.id })
  await gateway.link(1, agent.seal(next, data), agent.seal(next, agent.reading(6)))
  return { scene: { gateway, agent, session: next }, hello: gateway.opened.at(-1)! }
}

void t.test('after a rekey nothing of the gateway opens what was recorded before', async (t) => {
  const before = await settled()
  const copies = new Map<string, Uint8Array>()
  const keep = (what: string, secret: Uint8Array): void => void copies.set(what, new Uint8Array(secret))
  keep('r of the session before', before.session.secrets.resumption)
  keep('tree of the session before, up', before.session.secrets.up.treeRoot)
  keep('tree of the session before, down', before.session.secrets.down.treeRoot)
  const { scene, hello } = await rekey(before)
  const { secrets } = scene.session
  keep('X25519 key of the prekey it began on', hello.secrets.prekeySecret)
  keep('KEM seed of the prekey it began on', hello.secrets.kemSeed)
  keep('key of its first messages', secrets.box2Key)

  const found = { disk: taken(scene.gateway), test: t }
  there(found, { 'r for the next session': secrets.resumption, 'its prekey': hello.oneTime.prekeySecret })
  gone(found, Object.fromEntries(copies))
})

void t.test('a used leaf of a key tree is gone, and every node it could be made from', async (t) => {
  const { scene } = await rekey(await settled())
  const { up, down } = scene.session.secrets
  const found = { disk: taken(scene.gateway), test: t }
  for (const counter of [0, 1])
    for (const [depth, node] of nodesTo(up.treeRoot, counter).entries())
      gone(found, { [`node ${depth} above packet ${counter} of the agent`]: node })
  there(found, { 'the branch of the packets to come': nodesTo(up.treeRoot, 2).at(-2)! })
  for (const [depth, node] of nodesTo(down.treeRoot, 0).entries())
    gone(found, { [`node ${depth} above packet 0 of the gateway`]: node })
})

void t.test('a session begun on a signed prekey: nothing is left after eight days', async (t) => {
  const { gateway } = await settled()
  const join = gateway.opened[0]!
  const { prekeySecret, kemSeed } = join.secrets
  const [secret, seed] = [new Uint8Array(prekeySecret), new Uint8Array(kemSeed)]
  there({ disk: taken(gateway), test: t }, { 'the signed prekey': secret, 'its KEM seed': seed })
  for (let day = 0; day < 9; day++) await gateway.tick(DAY_MS)
  gone({ disk: taken(gateway), test: t }, { 'the signed prekey': secret, 'its KEM seed': seed })
})
