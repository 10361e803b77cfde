import { HostError } from '@fieldwhisper/host'
import { createMemoryStore } from '@fieldwhisper/host/testing'
import t from 'tap'
import { watchDisk } from '../../../relay/src/server/disk.js'

void t.test('a disk that refuses is said once, makes the relay unhealthy, and heals by time', async (t) => {
  let now = 0
  let full = true
  const memory = createMemoryStore({ tables: ['packets'] })
  const store = {
    get: memory.get.bind(memory),
    range: memory.range.bind(memory),
    bytesUsed: memory.bytesUsed.bind(memory),
    close: memory.close.bind(memory),
    commit: (writes: Parameters<typeof memory.commit>[0]) =>
      full ? Promise.reject(new HostError('FW_STORE_FULL', 'no room')) : memory.commit(writes),
  }
  const codes: string[] = []
  const disk = watchDisk(store, { event: (_level, code) => void codes.push(code) }, () => now)
  const write = { table: 'packets', key: Uint8Array.of(1), value: Uint8Array.of(2) }
  t.ok(disk.ok())

  await t.rejects(disk.store.commit([write]), { code: 'FW_STORE_FULL' })
  await t.rejects(disk.store.commit([write]), { code: 'FW_STORE_FULL' })
  t.same(codes, ['FW_RELAY_DISK'])
  t.notOk(disk.ok())

  full = false
  await disk.store.commit([write])
  t.same(disk.store.get('packets', Uint8Array.of(1)), Uint8Array.of(2))
  now = 59_999
  t.notOk(disk.ok(), 'it stays unhealthy for a minute, so that a watch sees it')
  now = 60_000
  t.ok(disk.ok())
})
