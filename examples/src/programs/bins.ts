import { fileURLToPath } from 'node:url'

export type ProgramName = 'agent' | 'gateway' | 'relay'

/** The file behind the command `fieldwhisper-<name>`. */
export function binOf(name: ProgramName): string {
  const entry = import.meta.resolve(`@fieldwhisper/${name}`)
  return fileURLToPath(new URL(`../bin/fieldwhisper-${name}.js`, entry))
}

/** What every program of ours is started with: it ends when the process that started it is gone, however that went. */
export const GUARD = ['--import', new URL('./guard.js', import.meta.url).href] as const
