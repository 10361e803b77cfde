/**
 * A private network for one test: hosts are network namespaces, networks are bridges, cables are veth pairs. Nothing of
 * it touches the machine's own interfaces. Needs root on Linux with iproute2 (and iptables, tcpdump where used).
 *
 *   const net = await createNet(t, ['lan', 'uplink'])
 *   const pump = await net.host('pump', ['lan', 'uplink'])
 *   const program = pump.spawn(...cli('agent'), ['run', '--state', folder])
 *   pump.unplug('lan')
 *
 * The first network is 10.77.1.0/24, the second 10.77.2.0/24, and so on; hosts get .1, .2, ... in order of creation (the
 * same last number on each of their networks) and an IPv6 link-local address. There is no router: what two hosts do not
 * share, they cannot reach. Interfaces are named like their network. Clean-up follows the test, whatever became of it.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { until } from '../../support/until.js'
import { type Place, placeBehind } from './process.js'

/** Longest run of one `ip` command; they take milliseconds. */
const COMMAND_MS = 20_000
const NAME = /^fw(\d+)-/

interface WithTeardown {
  teardown(handler: () => void | Promise<void>): void
}

/**
 * Why a test that needs private networks cannot run here, or `false`: `t.test(name, { skip: noNetworks() }, ...)`.
 * On the CI machine it never skips; what is missing there fails.
 */
export function noNetworks(): string | false {
  if (process.env['CI'] !== undefined) return false
  if (process.platform !== 'linux') return 'network namespaces are a Linux thing'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  return ['/usr/sbin/ip', '/sbin/ip', '/usr/bin/ip'].some((path) => existsSync(path))
    ? false
    : 'network namespaces need iproute2'
}

export interface Host extends Place {
  readonly name: string
  readonly networks: readonly string[]
  /** IPv4 address on a network of this host. */
  address(network: string): string
  /** IPv6 link-local address on a network of this host, without scope. */
  linkLocal(network: string): string
  /** Pulls the cable: the interface stays up and keeps its addresses, the carrier is gone. All networks if none is named. */
  unplug(network?: string): void
  plug(network?: string): void
  /** Drops every IPv4 and IPv6 packet from and to `other` at this host, on one or on all networks that they share. */
  block(other: Host, network?: string): void
  /** Drops what a filter matches, in iptables' words, e.g. `['INPUT', '-p', 'udp', '--dport', '24707']`. */
  drop(rule: readonly string[], family?: 4 | 6): void
  /** Ends everything that `block` and `drop` did at this host. */
  unblock(): void
}

export interface Capture {
  /** Ends the capture and returns the counts that tcpdump reports; `lost` must be 0 for the capture to prove anything. */
  stop(): Promise<{ captured: number; lost: number }>
}

export interface Net {
  host(name: string, networks: readonly string[]): Host
  /** Records all traffic of a network into a pcap file. Returns when the recording has begun. */
  capture(network: string, file: string): Promise<Capture>
  /** What runs on any host, as `pid command`: for leak checks. */
  running(): string[]
  /** Kills what is left and removes every trace. Done after the test by itself; twice is harmless. */
  close(): void
}

let nets = 0

export function createNet(t: WithTeardown, networks: readonly string[] = ['lan', 'uplink']): Net {
  removeLeftovers()
  const prefix = `fw${process.pid}-${(nets += 1)}`
  const hub = `${prefix}-hub`
  const namespaces: string[] = []
  let cables = 0

  const close = (): void => {
    // Hosts before the hub: a veth pair goes with either end.
    for (const namespace of namespaces.splice(0).reverse()) removeNamespace(namespace)
    process.off('exit', close)
  }
  process.once('exit', close)
  t.teardown(close)

  const addNamespace = (namespace: string): void => {
    ip(['netns', 'add', namespace])
    namespaces.push(namespace)
    // Without duplicate address detection a link-local address is usable at once instead of after two seconds.
    execFileSync(
      'ip',
      [
        'netns',
        'exec',
        namespace,
        'sh',
        '-c',
        'for f in accept_dad router_solicitations; do echo 0 >/proc/sys/net/ipv6/conf/default/$f; done',
      ],
      { timeout: COMMAND_MS },
    )
    ip(['-n', namespace, 'link', 'set', 'lo', 'up'])
  }

  addNamespace(hub)
  batch(
    hub,
    networks.flatMap((network) => [
      // Snooping would hold back multicast until a querier speaks; there is none here, as on a cheap switch.
      `link add ${network} type bridge mcast_snooping 0 forward_delay 0 stp_state 0`,
      `link set ${network} up`,
    ]),
  )

  const makeHost = (name: string, joined: readonly string[], number: number): Host => {
    if (number > 254) throw new Error('a network holds 254 hosts')
    const namespace = `${prefix}-${name}`
    const cable = new Map<string, string>()
    addNamespace(namespace)
    const onHub: string[] = []
    const onHost: string[] = []
    for (const network of joined) {
      const port = `p${(cables += 1)}`
      cable.set(network, port)
      onHub.push(
        `link add ${port} type veth peer name ${network} netns ${namespace}`,
        `link set ${port} master ${network} up`,
      )
      onHost.push(`addr add ${v4(network, number)}/24 broadcast + dev ${network}`, `link set ${network} up`)
    }
    batch(hub, onHub)
    batch(namespace, onHost)

    const ports = (network: string | undefined): string[] =>
      network === undefined ? [...cable.values()] : [port(network)]
    const port = (network: string): string => {
      const found = cable.get(network)
      if (found === undefined) throw new Error(`${name} has no cable into ${network}`)
      return found
    }
    const tables = (family: 4 | 6, args: readonly string[]): void => {
      const tool = family === 4 ? 'iptables' : 'ip6tables'
      execFileSync('ip', ['netns', 'exec', namespace, tool, '-w', ...args], { timeout: COMMAND_MS })
    }

    return {
      name,
      networks: joined,
      ...placeBehind(['ip', 'netns', 'exec', namespace]),
      address: (network) => {
        port(network)
        return v4(network, number)
      },
      linkLocal: (network) => linkLocal(namespace, network),
      unplug: (network) =>
        batch(
          hub,
          ports(network).map((p) => `link set ${p} down`),
        ),
      plug: (network) =>
        batch(
          hub,
          ports(network).map((p) => `link set ${p} up`),
        ),
      block: (other, network) => {
        for (const shared of joined.filter((n) => other.networks.includes(n) && (network ?? n) === n)) {
          for (const [family, address] of [
            [4, other.address(shared)],
            [6, other.linkLocal(shared)],
          ] as const) {
            tables(family, ['-I', 'INPUT', '-i', shared, '-s', address, '-j', 'DROP'])
            tables(family, ['-I', 'OUTPUT', '-o', shared, '-d', address, '-j', 'DROP'])
          }
        }
      },
      drop: ([chain, ...match], family = 4) => tables(family, ['-I', chain ?? '', ...match, '-j', 'DROP']),
      unblock: () => {
        tables(4, ['-F'])
        tables(6, ['-F'])
      },
    }
  }

  const v4 = (network: string, number: number): string => {
    const index = networks.indexOf(network)
    if (index < 0) throw new Error(`there is no network ${network}`)
    return `10.77.${index + 1}.${number}`
  }

  let hosts = 0
  return {
    host: (name, joined) => makeHost(name, joined, (hosts += 1)),
    capture: (network, file) => capture(placeBehind(['ip', 'netns', 'exec', hub]), network, file),
    running: () =>
      namespaces.flatMap((namespace) => pidsIn(namespace).map((pid) => `${pid} ${commandOf(pid)}`)),
    close,
  }
}

async function capture(place: Place, network: string, file: string): Promise<Capture> {
  // -U writes each packet at once; -Z root because tcpdump would give up the right to write the file.
  const args = ['-i', network, '-s', '0', '--immediate-mode', '-U', '-Z', 'root', '-w', file]
  const program = place.spawn('tcpdump', args)
  await program.line(/listening on/, 10_000)
  return {
    stop: async () => {
      // The kernel may hold packets that tcpdump has not read: SIGUSR1 makes it tell both counts.
      const counts = await until(
        async () => {
          const told = program.stderr.length
          program.signal('SIGUSR1')
          await until(() => program.stderr.length > told, { withinMs: 5_000, what: 'the counts of tcpdump' })
          const line = program.stderr.at(-1) ?? ''
          const count = (what: string): number =>
            Number(new RegExp(`(\\d+) packets? ${what}`).exec(line)?.[1])
          const [captured, received, lost] = [
            count('captured'),
            count('received'),
            count('dropped by kernel'),
          ]
          return captured + lost >= received ? { captured, lost } : undefined
        },
        { withinMs: 10_000, what: `tcpdump to read what came over ${network}` },
      )
      await program.stop(10_000, 'SIGINT')
      return counts
    },
  }
}

function linkLocal(namespace: string, network: string): string {
  const shown = ip(['-n', namespace, '-6', '-o', 'addr', 'show', 'dev', network, 'scope', 'link'])
  const address = /inet6 (fe80:[0-9a-f:]+)\//.exec(shown)?.[1]
  if (address === undefined) throw new Error(`${network} has no link-local address: ${shown}`)
  return address
}

function ip(args: readonly string[]): string {
  return execFileSync('ip', args, {
    timeout: COMMAND_MS,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** Many `ip` commands in one process: fifty hosts stand in seconds. */
function batch(namespace: string, commands: readonly string[]): void {
  if (commands.length === 0) return
  execFileSync('ip', ['-n', namespace, '-batch', '-'], {
    timeout: COMMAND_MS,
    input: `${commands.join('\n')}\n`,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

/** Namespaces whose test is dead, e.g. after a SIGKILL of the test runner. */
function removeLeftovers(): void {
  for (const line of ip(['netns', 'list']).split('\n')) {
    const namespace = line.split(' ')[0] ?? ''
    const owner = NAME.exec(namespace)?.[1]
    if (owner === undefined) continue
    // Before its first network, a namespace with this test's own pid is one of an earlier process with that pid.
    const dead = Number(owner) === process.pid ? nets === 0 : !existsSync(`/proc/${owner}`)
    if (dead) removeNamespace(namespace)
  }
}

function removeNamespace(namespace: string): void {
  for (const pid of pidsIn(namespace)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended by itself.
    }
  }
  try {
    ip(['netns', 'del', namespace])
  } catch (error) {
    // Two tests may sweep the same leftovers at once; gone is gone.
    if (ip(['netns', 'list']).includes(namespace)) throw error
  }
}

function pidsIn(namespace: string): number[] {
  try {
    return ip(['netns', 'pids', namespace]).split('\n').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return 'gone'
  }
}
