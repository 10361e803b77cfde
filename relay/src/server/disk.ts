import { errorText, systemCode } from '@fieldwhisper/host'
import type { Reporter, Store } from '@fieldwhisper/host'
import { DISK_MEMORY_MS } from '../constants.js'

export interface WatchedDisk {
  readonly store: Store
  /** False while a write was refused not long ago. */
  ok(): boolean
}

/** Notices and reports (`FW_RELAY_DISK`) that the store refuses writes, for health and operator. */
export function watchDisk(store: Store, reporter: Reporter, monoMs: () => number): WatchedDisk {
  let refusedMs = -Infinity
  const ok = (): boolean => monoMs() - refusedMs >= DISK_MEMORY_MS

  async function commit(writes: Parameters<Store['commit']>[0]): Promise<void> {
    try {
      await store.commit(writes)
    } catch (error) {
      if (ok()) {
        const text = 'The disk refuses to store packets; senders keep theirs and try again.'
        reporter.event('error', 'FW_RELAY_DISK', text, {
          reason: String(systemCode(error) ?? errorText(error)),
        })
      }
      refusedMs = monoMs()
      throw error
    }
  }

  return {
    ok,
    store: {
      get: (table, key) => store.get(table, key),
      range: (table, options) => store.range(table, options),
      commit,
      bytesUsed: () => store.bytesUsed(),
      close: () => store.close(),
    },
  }
}
