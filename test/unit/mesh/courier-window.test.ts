import { DEFAULT_COURIER_LIMITS, type OutgoingPacket } from '@fieldwhisper/mesh'
import t from 'tap'
import { LIVE_BYTES, LIVE_PACKETS } from '../../../mesh/dist/courier/constants.js'
import { Rig } from './courier-rig.js'

const packet = (bytes: number): Partial<OutgoingPacket> => ({ bytes: new Uint8Array(bytes) })

void t.test(
  'windowPackets is the number that may be unconfirmed, LIVE_PACKETS of it for live readings',
  async (t) => {
    for (const windowPackets of [512, DEFAULT_COURIER_LIMITS.windowPackets]) {
      const rig = new Rig(false, { ...DEFAULT_COURIER_LIMITS, windowPackets })
      for (let id = 1; id < windowPackets - LIVE_PACKETS; id++) rig.add(id, packet(1))
      t.ok(rig.courier.hasRoom('backlog', 1), 'one below the share of the backlog')
      rig.add(windowPackets - LIVE_PACKETS, packet(1))
      t.notOk(rig.courier.hasRoom('backlog', 1), 'at it')
      for (let id = windowPackets - LIVE_PACKETS + 1; id < windowPackets; id++) rig.add(id, packet(1))
      t.ok(rig.courier.hasRoom('live', 1), 'one below the window')
      rig.add(windowPackets, packet(1))
      t.notOk(rig.courier.hasRoom('live', 1), 'at it')
      rig.send({ type: 'settled', ids: [1] })
      t.ok(rig.courier.hasRoom('live', 1))
    }
  },
)

void t.test('windowBytes is their size, LIVE_BYTES of it for live readings', async (t) => {
  const windowBytes = 2 * 1024 * 1024
  const rig = new Rig(false, { ...DEFAULT_COURIER_LIMITS, windowBytes })
  rig.add(1, packet(windowBytes - LIVE_BYTES - 100))
  t.ok(rig.courier.hasRoom('backlog', 100), 'exactly the share of the backlog')
  t.notOk(rig.courier.hasRoom('backlog', 101), 'one over')
  t.ok(rig.courier.hasRoom('live', LIVE_BYTES + 100), 'exactly the window')
  t.notOk(rig.courier.hasRoom('live', LIVE_BYTES + 101), 'one over')
})
