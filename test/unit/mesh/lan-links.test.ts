import t, { type Test } from 'tap'
import { createServer } from 'node:net'
import { once } from 'node:events'
import {
  admit,
  DEFAULT_LAN_LIMITS,
  lanConstants,
  packetFrame,
  pingFrame,
  questionFrame,
  recordFrame,
} from '@fieldwhisper/mesh'
import { End, QUICK, nothingOpen, rawServer, wire } from './lan-ends.js'

const packet = (first: number, size = 100): Uint8Array => new Uint8Array(size).fill(first)

/** Ends that are started now and stopped, with a look at what is left, at the end of the test. */
async function ends(t: Test, ...list: readonly End[]): Promise<void> {
  t.teardown(() => Promise.all(list.map((end) => end.links.stop())))
  await Promise.all(list.map((end) => end.links.start()))
}

/** Two ends with one link between them: [dialler, its link, other end, its link]. */
async function pair(
  t: Test,
  a = new End(),
  b = new End(),
): Promise<{ a: End; here: number; b: End; there: number }> {
  await ends(t, a, b)
  a.links.dial(b.target)
  return { a, here: (await a.opened()).id, b, there: (await b.opened()).id }
}

void t.test(
  'a dialled link opens on both ends and carries packets, questions and records both ways in order',
  async (t) => {
    const { a, here, b, there } = await pair(t)
    const info = await a.opened()
    t.same(info.target, b.target)
    t.equal((await b.opened()).target, undefined)
    t.equal((await b.opened()).address, '127.0.0.1')
    for (let i = 0; i < 30; i++) t.equal(a.links.sendPacket(here, packet(i, 31 + i * 300)), true)
    a.links.sendQuestion(here, packet(7, 16))
    b.links.sendRecord(there, packet(8, 2_000), [{ address: 'fe80::1%eth0', port: 5 }])
    await b.inbox.until((event) => event.type === 'question')
    t.same(
      b.packets().map((one) => [one[0], one.length]),
      Array.from({ length: 30 }, (_, i) => [i, 31 + i * 300]),
    )
    t.same(b.inbox.all.at(-1), { type: 'question', args: [there, packet(7, 16)] })
    t.same(await a.inbox.until((event) => event.type === 'record'), {
      type: 'record',
      args: [here, packet(8, 2_000), [{ address: 'fe80::1', port: 5 }]],
    })
    t.same(
      a.links.list().map(({ id, useful }) => [id, useful]),
      [[here, false]],
    )
  },
)

void t.test('a link that one end closes is told to both, once', async (t) => {
  const { a, here, b, there } = await pair(t)
  a.links.close(here)
  t.equal(await a.closed(here), 'given up')
  t.equal(await b.closed(there), 'ended')
  a.links.close(here)
  t.equal(a.inbox.all.filter((event) => event.type === 'closed').length, 1)
  t.equal(a.links.sendPacket(here, packet(1)), false)
  t.same(a.links.list(), [])
})

void t.test(
  'a dial to a closed port, to a name that is none, and to one that hears nothing fails',
  async (t) => {
    const a = new End()
    await ends(t, a)
    const { server, target } = await rawServer(() => undefined)
    server.close()
    await once(server, 'close')
    const nobody = { address: 'nobody.invalid', port: 1 }
    a.links.dial(target)
    a.links.dial(nobody)
    await a.inbox.until((event) => event.type === 'dialFailed' && event.args[0] === target)
    await a.inbox.until((event) => event.type === 'dialFailed' && event.args[0] === nobody, 20_000)
    t.equal(a.inbox.all.length, 2)
  },
)

void t.test('a peer may be a name', async (t) => {
  const b = new End({ listen: { port: 0 } })
  const a = new End()
  await ends(t, a, b)
  const target = { address: 'localhost', port: b.links.port! }
  a.links.dial(target)
  t.equal((await a.opened()).target, target)
})

void t.test('a service that is not ours is sent a PING or two and given up', async (t) => {
  for (const [answer, code] of [
    ['SSH-2.0-OpenSSH_9.2\r\n', 'FW_LAN_FRAME_TOO_LONG'],
    ['HTTP/1.1 400 Bad Request\r\n\r\n', 'FW_LAN_FIRST_FRAME_LATE'],
  ] as const) {
    const a = new End()
    await ends(t, a)
    const { server, target, strangers } = await rawServer(({ socket }) => socket.write(answer))
    a.links.dial(target)
    await a.inbox.until((event) => event.type === 'dialFailed')
    t.same(a.codes, [code])
    await strangers[0]!.whenClosed()
    t.match(strangers[0]!.bytes, /^(000100)+$/, 'PINGs and nothing else')
    t.equal(a.inbox.all.length, 1, 'neither opened nor closed')
    await new Promise((resolve) => server.close(resolve))
  }
})

void t.test(
  'who connects and says nothing, or nothing we know, is closed after its first seconds',
  async (t) => {
    const b = new End()
    await ends(t, b)
    const silent = await b.stranger()
    const unknown = await b.stranger()
    unknown.socket.write(Buffer.from('00017f', 'hex'))
    await Promise.all([silent.whenClosed(), unknown.whenClosed()])
    t.equal(b.codes[0], 'FW_LAN_FIRST_FRAME_LATE')
    t.same(b.inbox.all, [], 'nobody was told of either')
  },
)

void t.test('a frame that trickles in is closed at its deadline, however steadily it trickles', async (t) => {
  const b = new End()
  await ends(t, b)
  const slow = await b.stranger()
  slow.socket.write(Buffer.concat([...pingFrame(), Buffer.from('3fff01', 'hex')]))
  const started = performance.now()
  const drip = setInterval(() => slow.socket.write('x'), 20)
  const { id } = await b.opened()
  t.equal(await b.closed(id), 'FW_LAN_FRAME_LATE')
  clearInterval(drip)
  const took = performance.now() - started
  t.ok(took >= QUICK.frameMs && took < QUICK.frameMs + 1_000, `${took} ms`)
})

void t.test('broken frames close their link with a code, after the packets before them', async (t) => {
  const broken = {
    FW_LAN_FRAME_EMPTY: '0000',
    FW_LAN_FRAME_TOO_LONG: '5001',
    FW_LAN_FRAME_MALFORMED: '000201ff',
  }
  for (const [code, bytes] of Object.entries(broken)) {
    const b = new End()
    await ends(t, b)
    const stranger = await b.stranger()
    stranger.socket.write(
      Buffer.concat([...packetFrame(packet(1)), Buffer.from(bytes, 'hex'), ...packetFrame(packet(2))]),
    )
    t.equal(await b.closed((await b.opened()).id), code)
    t.same(
      b.packets().map((one) => one[0]),
      [1],
    )
    t.same(b.codes, [code])
    await stranger.whenClosed()
  }
})

void t.test('what strangers can cause is reported once a minute, with the number kept back', async (t) => {
  const b = new End()
  await ends(t, b)
  const bang = async (): Promise<void> => {
    const stranger = await b.stranger()
    stranger.socket.write(Buffer.from('0000', 'hex'))
    await stranger.whenClosed()
  }
  for (let i = 0; i < 5; i++) await bang()
  t.same(b.codes, ['FW_LAN_FRAME_EMPTY'])
  b.skipMs += 60_000
  await bang()
  t.same(b.codes, ['FW_LAN_FRAME_EMPTY', 'FW_LAN_FRAME_EMPTY'])
  t.equal(b.reports[1]?.fields?.['suppressed'], 4)
})

void t.test('inboundLinks and INBOUND_PER_ADDRESS hold at the limit and not one over', (t) => {
  const { inboundLinks } = DEFAULT_LAN_LIMITS.agent
  const links = (count: number, useful: boolean, address = (i: number) => `10.0.0.${i}`) =>
    Array.from({ length: count }, (_, i) => ({ id: i, address: address(i), local: false, since: 0, useful }))
  const comer = { address: '10.0.1.1', local: false }
  const accepted = (inbound: ReturnType<typeof links>, limit = inboundLinks): boolean =>
    admit(inbound, comer, 0, limit).accept
  t.ok(accepted(links(inboundLinks - 1, true)))
  t.notOk(accepted(links(inboundLinks, true)), 'all places')
  t.ok(accepted(links(inboundLinks / 2 - 1, false)))
  t.notOk(accepted(links(inboundLinks / 2, false)), 'half of them for strangers')
  t.ok(accepted(links(inboundLinks, true), inboundLinks + 1))
  const same = (): string => comer.address
  t.ok(accepted(links(lanConstants.INBOUND_PER_ADDRESS - 1, false, same)))
  t.notOk(accepted(links(lanConstants.INBOUND_PER_ADDRESS, false, same)), 'of one address')
  t.end()
})

void t.test(
  'above half of its places a device takes no stranger, and one that delivered something keeps its place',
  async (t) => {
    const b = new End({ maxInbound: 4 })
    await ends(t, b)
    const join = async (): Promise<Awaited<ReturnType<End['stranger']>>> => {
      const stranger = await b.stranger()
      for (const piece of pingFrame()) stranger.socket.write(piece)
      return stranger
    }
    await join()
    const second = await join()
    const known = await b.opened(1)
    const third = await join()
    await third.whenClosed()
    t.same(b.codes, ['FW_LAN_LINK_REFUSED'])
    b.links.markUseful(known.id)
    await join()
    await b.opened(2)
    t.same(
      b.links.list().map(({ useful }) => useful),
      [false, true, false],
    )
    b.skipMs += 60_000
    await join()
    const last = await b.opened(3)
    t.equal(await b.closed((await b.opened(0)).id), 'evicted', 'the oldest stranger had its minute')
    t.ok(last.id > known.id)
    t.equal(second.closed, false)
  },
)

void t.test('a reader that does not read fills 256 KiB, then refuses, then is cut', async (t) => {
  const b = new End()
  await ends(t, b)
  const deaf = await b.stranger()
  deaf.socket.write(Buffer.concat(pingFrame()))
  deaf.socket.pause()
  t.teardown(() => deaf.socket.destroy())
  const { id } = await b.opened()
  let refused = 0
  let most = 0
  const pour = setInterval(() => {
    for (let i = 0; i < 100; i++) if (!b.links.sendPacket(id, packet(1, 16_384))) refused++
    most = Math.max(most, b.links.list()[0]?.bufferedBytes ?? 0)
    // It says that it lives, which is no excuse.
    deaf.socket.write(Buffer.concat(pingFrame()))
  }, 10)
  t.equal(await b.closed(id), 'FW_LAN_LINK_STALLED')
  clearInterval(pour)
  t.ok(refused > 0)
  t.ok(most > 200_000 && most <= lanConstants.MAX_BUFFERED_BYTES, `${most} bytes waited`)
})

void t.test('what is sent in one turn leaves together', async (t) => {
  const b = new End()
  await ends(t, b)
  const reader = await b.stranger()
  reader.socket.write(Buffer.concat(pingFrame()))
  const { id } = await b.opened()
  await new Promise((resolve) => reader.socket.once('data', resolve))
  const before = reader.chunks.length
  for (let i = 0; i < 200; i++) b.links.sendPacket(id, packet(i))
  while (Buffer.concat(reader.chunks).length < 3 + 200 * 103) await once(reader.socket, 'data')
  t.ok(reader.chunks.length - before <= 3, `200 packets came in ${reader.chunks.length - before} reads`)
})

void t.test('a peer that vanished is noticed soon while something is sent to it', async (t) => {
  const b = new End()
  await ends(t, b)
  const between = await wire(b.target)
  t.teardown(() => between.close())
  // Silence alone would be noticed after ten seconds.
  const a = new End({ timing: { ...QUICK, idleMs: 10_000 } })
  await ends(t, a)
  a.links.dial(between.target)
  const { id } = await a.opened()
  between.cut()
  const started = performance.now()
  const sending = setInterval(() => a.links.sendPacket(id, packet(1)), 20)
  t.equal(await a.closed(id), 'FW_LAN_LINK_SILENT')
  clearInterval(sending)
  const took = performance.now() - started
  t.ok(took >= QUICK.answerMs - 20 && took < 5_000, `after ${took} ms`)
})

void t.test('a peer that vanished is noticed on an idle link, too', async (t) => {
  const b = new End()
  await ends(t, b)
  const between = await wire(b.target)
  t.teardown(() => between.close())
  const a = new End()
  await ends(t, a)
  a.links.dial(between.target)
  const { id } = await a.opened()
  const started = performance.now()
  between.cut()
  t.equal(await a.closed(id), 'FW_LAN_LINK_SILENT')
  const took = performance.now() - started
  t.ok(took >= QUICK.idleMs - 50 && took < QUICK.idleMs + QUICK.answerMs + 400, `after ${took} ms`)
})

void t.test('an idle link, a one-way stream and a paused reader live on', async (t) => {
  const idle = await pair(t)
  const stream = await pair(t)
  const paused = await pair(t)
  paused.b.links.setPaused(true)
  const sending = setInterval(() => {
    stream.a.links.sendPacket(stream.here, packet(1))
    paused.a.links.sendPacket(paused.here, packet(2))
  }, 50)
  const rounds = (3 * (QUICK.idleMs + QUICK.answerMs)) / 50
  await stream.b.inbox.until(() => stream.b.packets().length >= rounds, 20_000)
  clearInterval(sending)
  for (const { a, b } of [idle, stream, paused]) {
    t.same(
      [a, b].flatMap((end) => end.inbox.all).filter((event) => event.type === 'closed'),
      [],
    )
  }
  t.ok(paused.b.packets().length <= 1, 'at most what was read already')
  paused.b.links.setPaused(false)
  await paused.b.inbox.until(() => paused.b.packets().length > 10)
})

void t.test('a process that was stopped for a minute blames nobody for it', async (t) => {
  const { a, here, b } = await pair(t)
  a.links.sendPacket(here, packet(1))
  a.skipMs += 60_000
  const sending = setInterval(() => a.links.sendPacket(here, packet(2)), 20)
  await b.inbox.until(() => b.packets().length >= 20)
  clearInterval(sending)
  t.same(
    a.inbox.all.map((event) => event.type),
    ['opened'],
  )
})

void t.test(
  'of a flood of questions four are passed on, of a flood of pings each read is answered once',
  async (t) => {
    const b = new End()
    await ends(t, b)
    const stranger = await b.stranger()
    const flood = [
      ...Array.from({ length: 100 }, () => questionFrame(packet(1, 16))),
      ...Array<typeof pingFrame>(1_000)
        .fill(pingFrame)
        .map((make) => make()),
    ]
    stranger.socket.write(Buffer.concat([...flood.flat(), ...recordFrame(packet(3, 10), [])]))
    await b.inbox.until((event) => event.type === 'record')
    t.equal(b.inbox.all.filter((event) => event.type === 'question').length, lanConstants.QUESTION_BURST)
    await new Promise((resolve) => stranger.socket.once('data', resolve))
    t.ok(stranger.bytes.length / 6 <= 5, `${stranger.bytes.length / 6} pongs`)
  },
)

void t.test(
  'a port that is taken is replaced by a free one, and a host that is not here is reported and tried again',
  async (t) => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    const b = new End({ listen: { host: '127.0.0.1', port } })
    await ends(t, b)
    t.same(b.codes, ['FW_LAN_PORT_TAKEN'])
    t.ok(b.links.port !== undefined && b.links.port !== port)
    const a = new End()
    await ends(t, a)
    a.links.dial(b.target)
    t.ok((await a.opened()).id > 0)
    other.close()
    const nowhere = new End({ listen: { host: '203.0.113.7', port: 0 } })
    await ends(t, nowhere)
    t.same(nowhere.codes, ['FW_LAN_LISTEN_FAILED'])
    t.equal(nowhere.links.port, undefined)
    nowhere.links.dial(b.target)
    t.ok((await nowhere.opened()).id > 0, 'links can be dialled all the same')
  },
)

void t.test('stopping sends what waits, ends every link and leaves nothing open', async (t) => {
  const a = new End()
  const b = new End()
  await Promise.all([a.links.start(), b.links.start()])
  a.links.dial(b.target)
  const { id } = await a.opened()
  await b.opened()
  for (let i = 0; i < 20; i++) a.links.sendPacket(id, packet(i, 4_000))
  await a.links.stop()
  await b.inbox.until((event) => event.type === 'closed')
  t.equal(b.packets().length, 20)
  t.equal(await a.closed(id), 'given up')
  const silent = await b.stranger()
  b.links.dial({ address: '127.0.0.1', port: 9 })
  await b.links.stop()
  await silent.whenClosed()
  await a.links.stop()
  await nothingOpen()
})
