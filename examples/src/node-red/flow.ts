import { readFileSync } from 'node:fs'

/** A node as it stands in Node-RED's flow file. */
export interface FlowNode {
  readonly id: string
  readonly type: string
  readonly [property: string]: unknown
}

export const GATEWAY_NODE = 'fwdemogateway'
const TAB = 'fwdemotab'

/** Function node behind the readings: the page shows the newest of each. */
const KEEP_NEWEST = `const { agent, name } = msg.reading
const newest = flow.get('newest') || {}
newest[agent + ' ' + name] = { ...msg.reading, value: msg.payload }
flow.set('newest', newest)
`

/** Function node before the page: rows in order, numbers as people write them. */
const ROWS = `const text = (value, unit = '') => {
    if (typeof value !== 'number') return String(value) + ' ' + unit
    const digits = (number) => String(Number(number.toPrecision(4)))
    if (unit === 'B') return (value / 2 ** 30).toFixed(2) + ' GiB'
    if (unit === '/100') return digits(value) + ' %'
    if (unit === '/') return digits(value * 100) + ' %'
    if (unit === 'Cel') return digits(value) + ' °C'
    return digits(value) + ' ' + unit
}
msg.payload = Object.values(flow.get('newest') || {})
    .sort((a, b) => (a.agent + ' ' + a.name).localeCompare(b.agent + ' ' + b.name))
    .map((one) => ({
        ...one,
        text: text(one.value, one.unit),
        clock: new Date(one.time).toTimeString().slice(0, 8),
    }))
return msg
`

/** Readings into the debug panel and onto a page, and the agents' states: what a first start shows. */
export function exampleFlow(): FlowNode[] {
  const page = readFileSync(new URL('../../node-red/page.html', import.meta.url), 'utf8')
  const at = (x: number, y: number, wires: readonly (readonly string[])[] = []): object => ({
    z: TAB,
    x,
    y,
    wires,
  })
  const debug = (complete: string): object => ({
    active: true,
    tosidebar: true,
    console: false,
    tostatus: false,
    complete,
    targetType: complete === 'true' ? 'full' : 'msg',
  })
  return [
    { id: TAB, type: 'tab', label: 'This machine', disabled: false, info: 'Readings of this machine.' },
    {
      id: GATEWAY_NODE,
      type: 'fieldwhisper-gateway',
      name: 'Gateway of the demonstration',
      url: '',
      tls: '',
      site: '',
      topic: 'fieldwhisper/{site}/{agent}/{name}',
    },
    {
      id: 'fwdemonote1',
      type: 'comment',
      name: 'Readings of this machine: into the debug panel, and kept for the page',
      info: '',
      ...at(290, 60),
    },
    {
      id: 'fwdemoin',
      type: 'fieldwhisper-in',
      name: 'every reading',
      gateway: GATEWAY_NODE,
      agent: '',
      reading: '',
      history: 'all',
      current: true,
      ...at(150, 120, [['fwdemodebug', 'fwdemokeep']]),
    },
    { id: 'fwdemodebug', type: 'debug', name: 'reading', ...debug('true'), ...at(380, 120) },
    {
      id: 'fwdemokeep',
      type: 'function',
      name: 'keep the newest of each',
      func: KEEP_NEWEST,
      outputs: 0,
      timeout: 0,
      noerr: 0,
      initialize: '',
      finalize: '',
      libs: [],
      ...at(430, 180),
    },
    {
      id: 'fwdemonote2',
      type: 'comment',
      name: 'The page: open /readings at this address',
      info: '',
      ...at(180, 260),
    },
    {
      id: 'fwdemohttp',
      type: 'http in',
      name: '',
      url: '/readings',
      method: 'get',
      upload: false,
      swaggerDoc: '',
      ...at(150, 320, [['fwdemorows']]),
    },
    {
      id: 'fwdemorows',
      type: 'function',
      name: 'rows',
      func: ROWS,
      outputs: 1,
      timeout: 0,
      noerr: 0,
      initialize: '',
      finalize: '',
      libs: [],
      ...at(330, 320, [['fwdemopage']]),
    },
    {
      id: 'fwdemopage',
      type: 'template',
      name: 'page',
      field: 'payload',
      fieldType: 'msg',
      format: 'html',
      syntax: 'mustache',
      template: page,
      output: 'str',
      ...at(470, 320, [['fwdemoanswer']]),
    },
    {
      id: 'fwdemoanswer',
      type: 'http response',
      name: '',
      statusCode: '',
      headers: { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' },
      ...at(610, 320),
    },
    {
      id: 'fwdemonote3',
      type: 'comment',
      name: 'Who is there, and what the gateway reports',
      info: '',
      ...at(190, 400),
    },
    {
      id: 'fwdemoagents',
      type: 'fieldwhisper-agents',
      name: 'agents',
      gateway: GATEWAY_NODE,
      agent: '',
      level: 'info',
      ...at(120, 460, [['fwdemostates'], ['fwdemoevents']]),
    },
    { id: 'fwdemostates', type: 'debug', name: 'states', ...debug('payload'), ...at(350, 440) },
    { id: 'fwdemoevents', type: 'debug', name: 'events', ...debug('payload'), ...at(350, 500) },
  ]
}
