import t from 'tap'
import { CommitQueue } from '../../../host/src/commit-queue.js'
import { HostError } from '@fieldwhisper/host'

const timing = { slowMs: 20, failedMs: 50, tickMs: 5 }

function queue(write: (group: readonly number[]) => Promise<void>) {
  const slow: number[] = []
  const fatal: HostError[] = []
  const groups: number[][] = []
  const made = new CommitQueue<number>({
    admit: (item) => (item < 0 ? new HostError('FW_STORE_FULL', 'no room') : undefined),
    write: (group) => {
      groups.push([...group])
      return write(group)
    },
    onSlow: (ms) => slow.push(ms),
    onFatal: (error) => fatal.push(error),
    timing,
  })
  const push = (item: number, size = 1, count = 1): Promise<void> => made.push({ item, size, count })
  return { queue: made, push, slow, fatal, groups }
}

void t.test('what comes in one turn shares a group; what comes while writing shares the next', async (t) => {
  let release = (): void => undefined
  const { push, groups } = queue(() => new Promise((resolve) => (release = resolve)))
  const first = [push(1), push(2)]
  await new Promise(setImmediate)
  const second = [push(3), push(4)]
  release()
  await Promise.all(first)
  await new Promise(setImmediate)
  release()
  await Promise.all(second)
  t.strictSame(groups, [
    [1, 2],
    [3, 4],
  ])
})

void t.test('a group ends before it would pass its bound; one large commit goes alone', async (t) => {
  const { push, groups } = queue(async () => undefined)
  const large = 4 * 1024 * 1024
  await Promise.all([push(1), push(2, large), push(3, large + 1), push(4), push(5, 1, 20_000), push(6)])
  t.strictSame(groups, [[1], [2], [3], [4], [5], [6]])
})

void t.test('one that is not admitted is refused alone', async (t) => {
  const { push, groups } = queue(async () => undefined)
  const all = await Promise.allSettled([push(1), push(-2), push(3)])
  t.strictSame(
    all.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  t.strictSame(groups, [[1, 3]])
})

void t.test('a full disk refuses a group and the queue goes on', async (t) => {
  let full = true
  const { push, fatal } = queue(() =>
    full ? Promise.reject(new HostError('FW_STORE_FULL', 'full')) : Promise.resolve(),
  )
  await t.rejects(push(1), { code: 'FW_STORE_FULL' })
  full = false
  await push(2)
  t.equal(fatal.length, 0)
})

void t.test('a late write is reported once and still counts', async (t) => {
  let release = (): void => undefined
  const { push, slow, fatal } = queue(() => new Promise((resolve) => (release = resolve)))
  const done = push(1)
  while (slow.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  release()
  await done
  t.strictSame(slow, [20])
  t.equal(fatal.length, 0)
})

void t.test('a write that never ends fails everybody who waits and all who come', async (t) => {
  const { push, fatal, groups } = queue(() => new Promise(() => undefined))
  const keepAlive = setInterval(() => undefined, 5)
  t.teardown(() => clearInterval(keepAlive))
  const first = push(1)
  await new Promise(setImmediate)
  const second = push(2)
  const failed = { name: 'HostError', code: 'FW_STORE_FAILED' }
  await Promise.all([t.rejects(first, failed), t.rejects(second, failed)])
  await t.rejects(push(3), failed)
  t.strictSame(groups, [[1]])
  t.equal(fatal.length, 1)
})

void t.test('closing lets the waiting ones finish and refuses new ones', async (t) => {
  const { queue: made, push } = queue(async () => undefined)
  let done = false
  void push(1).then(() => (done = true))
  const closed = made.close()
  await t.rejects(push(2), { code: 'FW_STORE_CLOSED' })
  await closed
  t.ok(done)
})
