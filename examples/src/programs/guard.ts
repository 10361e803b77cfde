/**
 * Loaded into every program before it starts (`node --import`). The channel to whoever started it breaks when that process
 * ends, also by SIGKILL; then this program ends as if asked to, so that nothing is left running behind anybody's back.
 */
import { isMainThread } from 'node:worker_threads'
import { STOP_MS } from './constants.js'

function end(): void {
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), STOP_MS).unref()
  process.kill(process.pid, 'SIGTERM')
}

if (isMainThread) {
  // The channel may be broken already: a start that was killed at once.
  if (process.connected) process.on('disconnect', end)
  else end()
  process.channel?.unref()
}
