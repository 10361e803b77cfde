import t, { type Test } from 'tap'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Inbox } from '../../unit/mesh/lan-ends.js'
import { TestNetwork, namespacesUnavailable } from './namespaces.js'

const PROGRAM = fileURLToPath(new URL('fixtures/lan-program.ts', import.meta.url))
const skip = namespacesUnavailable() ?? false

interface Said {
  readonly type: string
  readonly at: number
  readonly link?: number
  readonly address?: string
  readonly dialled?: boolean
  readonly end?: string
  readonly code?: string
  readonly heardAddresses?: number
  readonly heardDevices?: number
  readonly interfaces?: readonly string[]
}

/** The program in one host. */
class Device {
  readonly inbox = new Inbox<Said>()
  readonly #child: ChildProcess
  #asked = 0

  constructor(network: TestNetwork, host: string, role: 'agent' | 'gateway') {
    this.#child = network.spawn(host, process.execPath, ['--import=tsx', PROGRAM, role])
    createInterface({ input: this.#child.stdout! }).on('line', (line) =>
      this.inbox.push(JSON.parse(line) as Said),
    )
  }

  tell(command: object): void {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`)
  }

  async said(type: string, deadlineMs = 15_000, fits: (said: Said) => boolean = () => true): Promise<Said> {
    return await this.inbox.until((said) => said.type === type && fits(said), deadlineMs)
  }

  /** What is said from now on. */
  forget(): void {
    this.inbox.all.length = 0
  }

  /** Asks for the status until it is as wished. */
  async status(fits: (said: Said) => boolean, deadlineMs = 15_000): Promise<Said> {
    const asking = setInterval(() => this.tell({ do: 'status', n: ++this.#asked }), 100)
    try {
      return await this.said('status', deadlineMs, fits)
    } finally {
      clearInterval(asking)
    }
  }

  /** Ends by itself: no timer, socket or handle keeps it. */
  async stop(): Promise<void> {
    this.tell({ do: 'stop' })
    if (this.#child.exitCode === null) await once(this.#child, 'exit', { signal: AbortSignal.timeout(5_000) })
  }
}

async function inNetwork(
  t: Test,
  body: (network: TestNetwork, start: (host: string, role?: 'gateway') => Promise<Device>) => Promise<void>,
): Promise<void> {
  const network = new TestNetwork()
  const devices: Device[] = []
  try {
    await body(network, async (host, role) => {
      const device = new Device(network, host, role ?? 'agent')
      devices.push(device)
      await device.said('started')
      return device
    })
    await Promise.all(devices.map((device) => device.stop()))
  } finally {
    await network.close()
  }
  t.same(network.remains(), [])
}

/** Two hosts a and b on one switch, each with an interface eth0. */
function twoHosts(network: TestNetwork, ipv4: boolean): void {
  for (const [i, host] of ['a', 'b'].entries()) {
    network.host(host)
    network.plug(host, 'eth0', 'lan', ipv4 ? `10.77.0.${i + 1}/24` : undefined)
  }
}

void t.test('two hosts hear each other by IPv4 and by IPv6, and a link opens', { skip }, async (t) => {
  await inNetwork(t, async (network, start) => {
    twoHosts(network, true)
    const [a, b] = [await start('a'), await start('b', 'gateway')]
    for (const device of [a, b]) {
      const { interfaces } = await device.status(
        (said) => said.heardAddresses === 2 && said.heardDevices === 1,
      )
      t.same(interfaces, ['eth0'])
    }
    const { link } = await a.said('opened')
    a.tell({ do: 'stream', link })
    await b.said('packet')
    t.same(
      a.inbox.all.filter(({ type }) => type === 'report'),
      [],
    )
  })
})

void t.test('IPv4 alone is enough', { skip }, async (t) => {
  await inNetwork(t, async (network, start) => {
    twoHosts(network, true)
    for (const host of ['a', 'b']) network.ip(host, '-6', 'address', 'flush', 'dev', 'eth0')
    const [a, b] = [await start('a'), await start('b', 'gateway')]
    t.match((await a.said('opened')).address, /^10\.77\.0\.2$/)
    t.match((await b.said('opened')).address, /^10\.77\.0\.1$/)
  })
})

void t.test('IPv6 link-local alone is enough', { skip }, async (t) => {
  await inNetwork(t, async (network, start) => {
    twoHosts(network, false)
    const [a, b] = [await start('a'), await start('b', 'gateway')]
    t.match((await a.said('opened')).address, /^fe80::.*%eth0$/)
    t.match((await b.said('opened')).address, /^fe80::.*%eth0$/)
  })
})

void t.test(
  'a pulled cable is noticed within twelve seconds of sending, and mended soon after it is back',
  { skip },
  async (t) => {
    await inNetwork(t, async (network, start) => {
      twoHosts(network, true)
      const [a, b] = [await start('a'), await start('b', 'gateway')]
      a.tell({ do: 'outstanding' })
      const { link } = await a.said('opened', 15_000, ({ dialled }) => dialled === true)
      a.tell({ do: 'stream', link })
      await b.said('packet')
      a.tell({ do: 'acked', link })
      await a.said('remember')
      network.cable('a', 'eth0', 'down')
      const pulled = performance.now()
      const { end } = await a.said('closed', 20_000, (said) => said.link === link)
      const noticed = performance.now() - pulled
      t.equal(end, 'FW_LAN_LINK_SILENT')
      t.ok(noticed < 12_000, `noticed after ${Math.round(noticed)} ms`)
      a.forget()
      network.cable('a', 'eth0', 'up')
      const back = performance.now()
      await a.said('opened', 15_000)
      const mended = performance.now() - back
      t.comment(`noticed after ${Math.round(noticed)} ms, mended after ${Math.round(mended)} ms`)
      t.ok(mended < 11_000, `mended after ${Math.round(mended)} ms`)
    })
  },
)

void t.test(
  'an interface that is set down and up, or taken away and made anew, is used again',
  { skip },
  async (t) => {
    await inNetwork(t, async (network, start) => {
      twoHosts(network, true)
      const [a, b] = [await start('a'), await start('b', 'gateway')]
      await a.said('opened')
      a.tell({ do: 'stream', link: 1 })
      network.ip('a', 'link', 'set', 'eth0', 'down')
      await a.status(({ interfaces }) => interfaces?.length === 0)
      await a.said('report', 5_000, ({ code }) => code === 'FW_LAN_NO_INTERFACE')
      await a.said('closed', 20_000)
      a.forget()
      b.forget()
      network.ip('a', 'link', 'set', 'eth0', 'up')
      await a.said('opened', 15_000)
      await b.said('opened', 15_000)
      network.ip('a', 'link', 'delete', 'eth0')
      await a.status(({ interfaces }) => interfaces?.length === 0)
      a.forget()
      b.forget()
      network.plug('a', 'eth0', 'lan', '10.77.0.9/24')
      await a.said('opened', 60_000)
      await b.said(
        'opened',
        15_000,
        ({ address }) => address === '10.77.0.9' || address?.startsWith('fe80') === true,
      )
      t.pass('heard under its new address')
    })
  },
)

void t.test('an interface that is dead does not keep another from working', { skip }, async (t) => {
  await inNetwork(t, async (network, start) => {
    for (const [i, host] of ['a', 'b'].entries()) {
      network.host(host)
      network.plug(host, 'eth0', 'lan', `10.77.0.${i + 1}/24`)
      network.plug(host, 'eth1', 'uplink', `10.88.0.${i + 1}/24`)
    }
    // Up, with carrier and addresses, and every packet is refused by the route.
    network.cable('b', 'eth0', 'down')
    const [a, b] = [await start('a'), await start('b', 'gateway')]
    t.same((await a.status(({ heardAddresses }) => heardAddresses === 2)).interfaces, ['eth0', 'eth1'])
    t.match((await a.said('opened')).address, /^10\.88\.0\.2$|%eth1$/)
    network.cable('b', 'eth0', 'up')
    await a.status(({ heardAddresses, heardDevices }) => heardAddresses === 4 && heardDevices === 1, 20_000)
    network.cable('b', 'eth1', 'down')
    a.forget()
    b.forget()
    a.tell({ do: 'outstanding' })
    await a.said('opened', 60_000, ({ address }) => /^10\.77\.0\.2$|%eth0$/.test(address ?? ''))
    t.pass('found over the other interface')
  })
})
