import { execFileSync, spawn, type ChildProcess } from 'node:child_process'

/** Why network namespaces cannot be made here; undefined when they can. */
export function namespacesUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root, to make network namespaces'
  try {
    execFileSync('ip', ['netns', 'list'], { stdio: 'pipe' })
    return undefined
  } catch {
    return 'needs the program ip (iproute2)'
  }
}

let made = 0

/**
 * Hosts in network namespaces on switches in one more namespace, so that nothing of this machine's own network is touched:
 * whatever a test forgets goes away with the namespaces.
 */
export class TestNetwork {
  readonly #prefix = `fw${process.pid}x${++made}`
  readonly #hosts = new Set<string>()
  readonly #switches = new Set<string>()
  readonly #children = new Set<ChildProcess>()

  constructor() {
    ip('netns', 'add', this.#namespace('sw'))
  }

  /** A host without interfaces but its loopback. */
  host(name: string): void {
    this.#hosts.add(name)
    ip('netns', 'add', this.#namespace(name))
    this.ip(name, 'link', 'set', 'lo', 'up')
  }

  /** A cable from a host's new interface to a switch, with an IPv4 address if one is given. */
  plug(host: string, device: string, bridge: string, ipv4?: string): void {
    const sw = this.#namespace('sw')
    if (!this.#switches.has(bridge)) {
      this.#switches.add(bridge)
      ip('-n', sw, 'link', 'add', bridge, 'type', 'bridge')
      ip('-n', sw, 'link', 'set', bridge, 'up')
    }
    const port = `${host}-${device}`
    ip('-n', sw, 'link', 'add', port, 'type', 'veth', 'peer', 'name', device, 'netns', this.#namespace(host))
    ip('-n', sw, 'link', 'set', port, 'master', bridge, 'up')
    if (ipv4 !== undefined) this.ip(host, 'address', 'add', ipv4, 'dev', device)
    this.ip(host, 'link', 'set', device, 'up')
  }

  /** Pulls the cable out of the switch (carrier lost at the host) or puts it back. */
  cable(host: string, device: string, state: 'up' | 'down'): void {
    ip('-n', this.#namespace('sw'), 'link', 'set', `${host}-${device}`, state)
  }

  /** `ip` within a host. */
  ip(host: string, ...args: readonly string[]): string {
    return ip('-n', this.#namespace(host), ...args)
  }

  /** A program within a host; it is killed with the network if it has not ended. */
  spawn(host: string, command: string, args: readonly string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.#namespace(host), command, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  /** Runs a command within a host and gives its output. */
  exec(host: string, command: string, ...args: readonly string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.#namespace(host), command, ...args], {
      encoding: 'utf8',
    })
  }

  /** Ends what still runs and takes the network down; resolves when nothing of it is left, throws when something is. */
  async close(): Promise<void> {
    const running = [...this.#children]
    for (const child of running) child.kill('SIGKILL')
    await Promise.all(
      running.map(
        (child) =>
          new Promise((resolve) => child.exitCode ?? child.signalCode ?? child.once('exit', resolve)),
      ),
    )
    for (const name of [...this.#hosts, 'sw']) {
      const left = ip('netns', 'pids', this.#namespace(name)).trim()
      if (left !== '') throw new Error(`processes are left in ${name}: ${left.replaceAll('\n', ' ')}`)
      ip('netns', 'delete', this.#namespace(name))
    }
    if (running.length > 0) throw new Error(`${running.length} programs had to be killed`)
  }

  /** Namespaces of this network that exist. */
  remains(): string[] {
    return ip('netns', 'list')
      .split('\n')
      .filter((line) => line.startsWith(`${this.#prefix}-`))
  }

  #namespace(name: string): string {
    return `${this.#prefix}-${name}`
  }
}

function ip(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' })
}
