import { readdirSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Ballast, BALLAST_BYTES } from '../../../gateway/src/ballast.js'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'

const SOON = { withinMs: 10_000, everyMs: 10 }

function world(dir: string) {
  const made = { codes: [] as string[], now: 0, used: 100 * BALLAST_BYTES }
  const options = {
    dir,
    reporter: { event: (_level: string, code: string) => void made.codes.push(code) },
    monoMs: () => made.now,
    bytesUsed: () => made.used,
  }
  return { made, open: () => Ballast.open(options) }
}

void t.test(
  'it is laid down at a start, given up once, and laid down again where there is room',
  async (t) => {
    const dir = temporaryFolder(t)
    const path = join(dir, 'ballast')
    const { made, open } = world(dir)
    const ballast = await open()
    t.equal(statSync(path).size, BALLAST_BYTES)
    t.ok(statSync(path).blocks * 512 >= BALLAST_BYTES, 'its blocks are taken, it has no holes')
    t.equal(statSync(path).mode & 0o777, 0o600)
    t.equal(ballast.spent, false)

    t.equal(ballast.free(), true)
    t.equal(ballast.spent, true)
    t.equal(ballast.free(), false, 'only once')
    t.same(readdirSync(dir), [])
    made.now = 9_999
    ballast.tick()
    await ballast.stop()
    t.equal(ballast.spent, true, 'not at once, or it would flap')
    made.now = 10_000
    ballast.tick()
    await until(() => !ballast.spent, { ...SOON, what: 'the ballast to be back' })
    await ballast.stop()
    t.equal(statSync(path).size, BALLAST_BYTES)
    t.same(made.codes, ['FW_DISK_FULL', 'FW_DISK_ROOM'])

    const again = await open()
    t.equal(again.free(), true, 'what is there at a start is used')
  },
)

void t.test('a store that shrank by as much has that room in its file', async (t) => {
  const { made, open } = world(temporaryFolder(t))
  const ballast = await open()
  ballast.free()
  made.used -= BALLAST_BYTES - 1
  t.equal(ballast.spent, true)
  made.used -= 1
  t.equal(ballast.spent, false)
})

void t.test(
  'a torn one is laid down again; one that cannot be laid down is said, and readings wait',
  async (t) => {
    const dir = temporaryFolder(t)
    await world(dir).open()
    truncateSync(join(dir, 'ballast'), 5)
    await world(dir).open()
    t.equal(statSync(join(dir, 'ballast')).size, BALLAST_BYTES)

    const { made, open } = world(join(dir, 'not there'))
    const ballast = await open()
    t.equal(ballast.spent, true)
    t.equal(ballast.free(), false)
    t.same(made.codes, ['FW_BALLAST_FAILED', 'FW_DISK_FULL'])
  },
)
