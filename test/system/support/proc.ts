/** Who is alive: the leak check of the system tests, read from /proc. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** The compiler that the test runner keeps beside a test. */
const COMPILER = /\besbuild --service=/

/** Live descendants of this test, as `pid command`: what a system test asserts to be empty at its end. */
export function livingChildren(): string[] {
  const all = processes()
  const family = new Set([process.pid])
  // Parents have lower pids more often than not, but pids wrap: repeat until nothing is added.
  for (let before = 0; before !== family.size;) {
    before = family.size
    for (const p of all) if (family.has(p.parent)) family.add(p.pid)
  }
  return all
    .filter(({ pid, command }) => family.has(pid) && pid !== process.pid && !COMPILER.test(command))
    .map(({ pid, command }) => `${pid} ${command}`)
}

export interface Process {
  readonly pid: number
  readonly parent: number
  readonly session: number
  readonly command: string
}

/** Every process of this machine that runs, zombies left out. Empty where there is no /proc. */
export function processes(): Process[] {
  if (!existsSync('/proc')) return []
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      // The name in parentheses may itself hold spaces and parentheses; fields follow the last one.
      const [state, parent, , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (state === 'Z') return []
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
      return [{ pid: Number(entry), parent: Number(parent), session: Number(session), command }]
    } catch {
      return [] // It ended while we looked.
    }
  })
}
