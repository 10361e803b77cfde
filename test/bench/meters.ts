/** What the kernel counts for a process and its sockets. Where it does not (no /proc, no `ss`), the figure is missing. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'

/** Linux counts in this unit for every program, whatever its own clock (`getconf CLK_TCK`). */
const TICK_MS = 10
const PAGE_BYTES = 4_096
/** Ethernet, IPv4 and TCP with timestamps: what surrounds the bytes of one segment. */
const HEADER_BYTES = 66
/** TCP payload of an Ethernet frame. Loopback takes 64 KiB at once, a network does not. */
const SEGMENT_BYTES = 1_448

/** Processor time of all threads in milliseconds, in steps of 10; NaN where nobody knows. */
export function cpuMs(pid: number): number {
  // The name in parentheses may hold spaces; `utime` and `stime` are the 14th and 15th field.
  const fields = stat(pid, 'stat').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11] ?? NaN) + Number(fields[12] ?? NaN)) * TICK_MS
}

/** Memory in use in MiB; NaN where nobody knows. */
export function rssMib(pid: number): number {
  return (Number(stat(pid, 'statm').split(' ')[1] ?? NaN) * PAGE_BYTES) / 1_048_576
}

function stat(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

/** One TCP connection, seen from the process `pid`. */
export interface Connection {
  readonly pid: number
  readonly local: string
  readonly remote: string
  readonly remotePort: number
  readonly bytesOut: number
  readonly bytesIn: number
  readonly segmentsOut: number
  readonly segmentsIn: number
}

/** Open TCP connections of these processes; undefined where there is no `ss`. */
export async function connections(pids: readonly number[]): Promise<Connection[] | undefined> {
  try {
    const { stdout } = await promisify(execFile)('ss', ['-tinpH'], { maxBuffer: 4 * 1_048_576 })
    return parseSs(stdout).filter(({ pid }) => pids.includes(pid))
  } catch {
    return undefined
  }
}

/** A connection takes two lines: addresses and process, then, indented, what TCP counted. */
function parseSs(text: string): Connection[] {
  return text.split(/\n(?=\S)/).flatMap((entry) => {
    const [, , , local, remote] = entry.split(/\s+/)
    const pid = /pid=(\d+)/.exec(entry)?.[1]
    if (local === undefined || remote === undefined || pid === undefined) return []
    const count = (name: string): number => Number(new RegExp(`\\b${name}:(\\d+)`).exec(entry)?.[1] ?? 0)
    return [
      {
        pid: Number(pid),
        local,
        remote,
        remotePort: Number(remote.slice(remote.lastIndexOf(':') + 1)),
        bytesOut: count('bytes_sent'),
        bytesIn: count('bytes_received'),
        segmentsOut: count('segs_out'),
        segmentsIn: count('segs_in'),
      },
    ]
  })
}

export interface Traffic {
  /** Bytes in TCP, both directions: with TLS or WebSocket around them where there is any. */
  readonly payload: number
  /** The same on an Ethernet with 1,500-byte frames: 66 bytes around each segment, acknowledgements included. */
  readonly wire: number
}

/** What went over the connections that exist at the end, since the beginning. */
export function traffic(before: readonly Connection[], after: readonly Connection[]): Traffic {
  let payload = 0
  let frames = 0
  for (const end of after) {
    const start = before.find(({ local, remote }) => local === end.local && remote === end.remote)
    const out = end.bytesOut - (start?.bytesOut ?? 0)
    const into = end.bytesIn - (start?.bytesIn ?? 0)
    payload += out + into
    frames += Math.max(end.segmentsOut - (start?.segmentsOut ?? 0), Math.ceil(out / SEGMENT_BYTES))
    frames += Math.max(end.segmentsIn - (start?.segmentsIn ?? 0), Math.ceil(into / SEGMENT_BYTES))
  }
  return { payload, wire: payload + frames * HEADER_BYTES }
}
