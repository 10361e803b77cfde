import {
  Courier,
  type CourierLimits,
  type CourierEffect,
  type CourierEvent,
  type OutgoingPacket,
} from '@fieldwhisper/mesh'

/** A courier on virtual time, with what it offered and deposited written down. */
export class Rig {
  readonly courier: Courier
  now = 1_000
  offers: { link: number; id: number }[] = []
  deposits: { relay: string; id: number }[] = []
  /** Relays that answer every deposit by themselves. */
  readonly answers = new Map<string, 'stored' | 'refused' | 'unsent'>()

  constructor(offerAll = false, limits?: CourierLimits) {
    this.courier = new Courier({
      random: (n) => new Uint8Array(n).fill(0x80),
      offerAll,
      ...(limits && { limits }),
    })
  }

  send(event: CourierEvent): void {
    let step = this.courier.step(event, this.now)
    for (let rounds = 0; ; rounds++) {
      if (rounds > 1_000) throw new Error('the courier does not come to rest')
      for (const effect of step.effects) this.#carryOut(effect)
      if (!step.more) return
      step = this.courier.step({ type: 'tick' }, this.now)
    }
  }

  add(id: number, more: Partial<OutgoingPacket> = {}): void {
    const defaults = { bytes: new Uint8Array(300), mailbox: 'up', proves: false } as const
    this.send({ type: 'added', packet: { ...defaults, id, kind: 'data', priority: 'live', ...more } })
  }

  /** Turns the clock in steps of 100 ms. */
  wait(ms: number): void {
    for (let left = ms; left > 0; left -= 100) {
      this.now += Math.min(100, left)
      this.send({ type: 'tick' })
    }
  }

  acked(link: number): void {
    this.send({ type: 'acked', path: { link }, packets: 1 })
  }

  /** What was offered since the last call, as `link:id`. */
  offered(): string[] {
    const list = this.offers.map(({ link, id }) => `${link}:${id}`)
    this.offers = []
    return list
  }

  deposited(): string[] {
    const list = this.deposits.map(({ relay, id }) => `${relay}:${id}`)
    this.deposits = []
    return list
  }

  #carryOut(effect: CourierEffect): void {
    if (effect.type === 'offer') {
      this.offers.push({ link: effect.link, id: effect.id })
      return
    }
    const { relay, id } = effect
    this.deposits.push({ relay, id })
    const result = this.answers.get(relay)
    if (result) this.send({ type: 'deposited', relay, id, result })
  }
}
