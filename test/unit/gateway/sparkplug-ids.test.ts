import fc from 'fast-check'
import t from 'tap'
import { unescapeLevel } from '../../../gateway/src/bridge/topics.js'
import { DeviceIds, sparkplugTopics } from '../../../gateway/src/sparkplug/ids.js'

const RESERVED = /[+/#\p{Cc}]/u

void t.test(
  'every topic has namespace, group, kind, node and, for devices only, the device [tck-id-topic-structure] ' +
    '[tck-id-topic-structure-namespace-a] [tck-id-topic-structure-namespace-device-id-associated-message-types] ' +
    '[tck-id-topic-structure-namespace-device-id-non-associated-message-types] [tck-id-topics-nbirth-topic] ' +
    '[tck-id-topics-ndeath-topic] [tck-id-topics-ncmd-topic] [tck-id-topics-dbirth-topic] [tck-id-topics-ddata-topic] ' +
    '[tck-id-topics-ddeath-topic] [tck-id-topics-dcmd-topic]',
  (t) => {
    const topics = sparkplugTopics('plant', 'gw', 'scada')
    for (const kind of ['NBIRTH', 'NDEATH', 'NCMD'] as const)
      t.equal(topics.node(kind), `spBv1.0/plant/${kind}/gw`)
    for (const kind of ['DBIRTH', 'DDATA', 'DDEATH', 'DCMD'] as const) {
      t.equal(topics.device(kind, 'pump'), `spBv1.0/plant/${kind}/gw/pump`)
    }
    t.equal(topics.commands, 'spBv1.0/plant/DCMD/gw/+')
    t.equal(topics.state, 'spBv1.0/STATE/scada')
    t.equal(topics.legacyState, 'STATE/scada')
    t.equal(sparkplugTopics('plant', 'gw').state, undefined)
    t.end()
  },
)

void t.test('the device of a command is read from its topic', (t) => {
  const topics = sparkplugTopics('plant', 'gw')
  t.equal(topics.commandedDevice('spBv1.0/plant/DCMD/gw/pump'), 'pump')
  for (const other of [
    'spBv1.0/plant/DCMD/gw/',
    'spBv1.0/plant/DCMD/gw',
    'spBv1.0/plant/DCMD/gw/pump/x',
    'spBv1.0/plant/DCMD/gw2/pump',
    'spBv1.0/plant/NCMD/gw',
  ]) {
    t.equal(topics.commandedDevice(other), undefined, other)
  }
  t.end()
})

void t.test(
  'a name that topics reserve is escaped, and no id is empty [tck-id-topic-structure-namespace-valid-group-id] ' +
    '[tck-id-topic-structure-namespace-valid-edge-node-id] [tck-id-intro-group-id-string] [tck-id-intro-group-id-chars] ' +
    '[tck-id-intro-edge-node-id-string] [tck-id-intro-edge-node-id-chars]',
  (t) => {
    const topics = sparkplugTopics('Werk 1/Süd', '#1+')
    t.equal(topics.node('NBIRTH'), 'spBv1.0/Werk 1%2FSüd/NBIRTH/%231%2B')
    for (const [group, edge] of [
      ['', 'gw'],
      ['plant', ''],
    ] as const) {
      t.throws(() => sparkplugTopics(group, edge), { name: 'GatewayError', code: 'FW_SPARKPLUG_ID_INVALID' })
    }
    t.throws(() => sparkplugTopics('x'.repeat(129), 'gw'), { code: 'FW_TOPIC_NAME_INVALID' })
    t.end()
  },
)

void t.test(
  'the id of the primary host must match to the byte, so it is refused where it cannot be a level',
  (t) => {
    for (const id of ['', 'a/b', 'a+', '#', 'a\0', 'x'.repeat(129)]) {
      t.throws(() => sparkplugTopics('plant', 'gw', id), {
        name: 'GatewayError',
        code: 'FW_SPARKPLUG_ID_INVALID',
      })
    }
    for (const id of ['scada', 'Host 1', '100%', 'x'.repeat(128)]) {
      t.equal(sparkplugTopics('plant', 'gw', id).state, `spBv1.0/STATE/${id}`)
    }
    t.end()
  },
)

void t.test(
  'devices have ids of their own, also where names differ in case only ' +
    '[tck-id-topic-structure-namespace-valid-device-id] [tck-id-topic-structure-namespace-unique-device-id] ' +
    '[tck-id-intro-device-id-string] [tck-id-intro-device-id-chars] [tck-id-case-sensitivity-sparkplug-ids]',
  (t) => {
    const ids = new DeviceIds()
    t.equal(ids.idOf('Pump'), 'Pump')
    t.equal(ids.idOf('pump'), '%70%75%6D%70')
    t.equal(ids.idOf('PUMP 1/2'), 'PUMP 1%2F2')
    t.equal(ids.idOf('Pump 1/2'), '%50%75%6D%70 1%2F2')
    t.equal(ids.idOf('Pump'), 'Pump', 'stays')
    t.equal(ids.nameOf('%70%75%6D%70'), 'pump')
    t.equal(ids.nameOf('nobody'), undefined)
    ids.forget('Pump')
    t.equal(ids.nameOf('Pump'), undefined)
    t.equal(ids.idOf('PUMP'), 'PUMP', 'the place is free')

    const names = fc.array(
      fc.oneof(
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).filter((name) => name.isWellFormed()),
        fc.string({
          unit: fc.constantFrom('a', 'A', 'b', '%', '6', '1', '/', 'É', 'é'),
          minLength: 1,
          maxLength: 4,
        }),
      ),
    )
    fc.assert(
      fc.property(names, (some) => {
        const known = new DeviceIds()
        const distinct = [...new Set(some)]
        const made = distinct.map((name) => known.idOf(name))
        t.notOk(made.some((id) => RESERVED.test(id) || id === ''))
        t.equal(new Set(made.map((id) => id.toLowerCase())).size, distinct.length, 'without regard to case')
        t.same(made.map(unescapeLevel), distinct)
      }),
    )
    t.end()
  },
)
