/** A bridge in this process on a real store, for tests that judge a broker that nobody here wrote. */
import { join } from 'node:path'
import { openStore, type Clock, type Store } from '@fieldwhisper/host'
import { Bridge, type BridgeOptions } from '../../../gateway/src/bridge/bridge.js'
import { BRIDGE_TABLES, outboxWrite, type OutboxEntry } from '../../../gateway/src/bridge/outbox-entry.js'
import { lastOutboxSequence } from '../../../gateway/src/bridge/outbox-position.js'
import { decode, monoMs, recorder, WALL_MS } from '../../unit/gateway/bridge-support.js'

interface WithTeardown {
  teardown(handler: () => void | Promise<void>): void
}

export interface RunningBridge {
  readonly bridge: Bridge
  readonly store: Store
  readonly reporter: ReturnType<typeof recorder>
  readonly commit: (entries: readonly OutboxEntry[]) => Promise<void>
  readonly stop: () => Promise<void>
}

export async function startBridge(
  t: WithTeardown,
  mqtt: BridgeOptions['mqtt'],
  folder: string,
): Promise<RunningBridge> {
  const reporter = recorder()
  const store = await openStore({ dir: join(folder, 'store'), tables: BRIDGE_TABLES, reporter })
  const clock: Clock = {
    monoMs,
    wallMs: () => WALL_MS,
    quality: () => 'synchronised',
    bootId: new Uint8Array(8),
  }
  const bridge = new Bridge({
    store,
    stateDir: folder,
    site: 'hall',
    clientId: 'gateway',
    mqtt,
    labels: {},
    version: '1.2.3',
    outbox: { maxBytes: 2 ** 30, keepSentMs: 3_600_000 },
    reporter,
    clock,
    runningMs: monoMs,
    decode,
  })
  await bridge.start()
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => (stopped ??= bridge.stop().then(() => store.close()))
  t.teardown(stop)
  return {
    bridge,
    store,
    reporter,
    stop,
    async commit(entries) {
      const first = lastOutboxSequence(store) + 1
      const writes = entries.map((one, index) => outboxWrite(first + index, one))
      await store.commit(writes)
      bridge.committed(writes)
    },
  }
}
