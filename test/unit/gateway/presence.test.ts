import t from 'tap'
import type { AgentStatusPayload } from '../../../gateway/src/bridge/payload.js'
import type { Agent } from '../../../gateway/src/core/agents.js'
import { Presence } from '../../../gateway/src/presence.js'
import { WALL_MS } from './bridge-support.js'

const MINUTE_MS = 60_000

function site(...names: string[]) {
  let now = 1_000
  const told: [string, AgentStatusPayload | undefined][] = []
  const agents = names.map((name, index): Agent => ({
    key: Uint8Array.of(index),
    id: String(index),
    name,
    status: 'active',
    certificate: new Uint8Array(),
    inviteId: 1,
    confirmed: true,
    noticeFrom: 1,
    noticeNext: 1,
    readings: 7,
    lost: 2,
    lostBefore: 0,
    heldFrom: 0,
    lastSeenWallMs: WALL_MS,
    heardAt: {},
    lastPath: 'lan',
  }))
  const bridge = {
    connected: true,
    tellAgent: (name: string, status?: AgentStatusPayload) => void told.push([name, status]),
  }
  const presence = new Presence({
    agents: { all: () => agents },
    missing: () => 3,
    bridge,
    clock: { monoMs: () => now, wallMs: () => WALL_MS + now },
  })
  return {
    agents,
    bridge,
    /** What is said within so many milliseconds, a step each second. */
    after: (ms: number) => {
      told.length = 0
      for (const end = now + ms; now < end;) {
        now += Math.min(1_000, end - now)
        presence.step()
      }
      return told.map(([name, status]) => [name, status?.state])
    },
    hear: (index: number, path: 'lan' | 'relay' = 'lan') => void (agents[index]!.heardAt[path] = now),
    told,
  }
}

void t.test('an agent is online while it is heard, then late, then offline', (t) => {
  const { after, hear, told } = site('pump-7')
  t.same(after(MINUTE_MS), [], 'right after a start nobody knows')
  hear(0)
  t.same(after(1_000), [['pump-7', 'online']])
  t.match(told[0]![1], {
    last_seen: '2026-03-04T05:06:07.890Z',
    path: 'lan',
    paths: { lan: true, relay: false },
    readings: 7,
    waiting: 3,
    lost: 2,
  })
  t.same(
    after(149_000),
    [
      ['pump-7', 'online'],
      ['pump-7', 'online'],
    ],
    'once a minute',
  )
  t.same(after(1_000), [['pump-7', 'late']], 'at once')
  t.same(new Set(after(8 * MINUTE_MS).map(([, state]) => state)), new Set(['late', 'offline']))
  hear(0, 'relay')
  t.same(after(1_000), [['pump-7', 'online']])
  t.match(told[0]![1]!.paths, { lan: false, relay: true })
  t.end()
})

void t.test('one that was not heard since the start is judged by when it was seen last', (t) => {
  const { after, agents } = site('pump-7', 'pump-8')
  agents[1]!.lastSeenWallMs = WALL_MS - 20 * MINUTE_MS
  t.same(after(151_000), [
    ['pump-7', 'late'],
    ['pump-8', 'offline'],
  ])
  t.end()
})

void t.test('one that waits or may be a copy says so', (t) => {
  const { after, agents } = site('pump-7', 'pump-8')
  agents[0]!.status = 'waiting'
  agents[1]!.heldFrom = 4
  t.same(after(1_000), [
    ['pump-7', 'waiting'],
    ['pump-8', 'copied'],
  ])
  t.end()
})

void t.test('what was told of a name is removed when its agent is renamed or revoked', (t) => {
  const { after, agents, hear } = site('pump-7', 'pump-8')
  hear(0)
  hear(1)
  after(1_000)
  agents[0]!.name = 'press-1'
  t.same(after(1_000), [
    ['pump-7', undefined],
    ['press-1', 'online'],
  ])
  agents[0]!.status = 'revoked'
  t.same(after(2_000), [['press-1', undefined]], 'once')
  agents[1]!.status = 'revoked'
  agents[0]!.status = 'active'
  agents[0]!.name = 'pump-8'
  t.same(after(2_000), [['pump-8', 'online']], 'another device has the name')
  t.end()
})

void t.test('a new connection is told everything, no more than 200 messages a second', (t) => {
  const { after, agents, bridge } = site(...Array.from({ length: 450 }, (_, i) => `a-${i}`))
  for (const agent of agents) agent.status = 'waiting'
  t.equal(after(1_000).length, 200)
  t.equal(after(2_000).length, 250)
  t.equal(after(10_000).length, 0)
  bridge.connected = false
  t.equal(after(1_000).length, 0)
  bridge.connected = true
  t.equal(after(3_000).length, 450)
  t.end()
})
