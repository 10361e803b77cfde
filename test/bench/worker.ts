import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { within } from '../support/until.js'
import type { Answer, Question } from './programs/serve.js'

const ANSWER_WITHIN_MS = 15_000
const END_WITHIN_MS = 5_000

/** A program of `programs/`, and the one to ask it. */
export class Worker {
  readonly name: string
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { done: (answer: unknown) => void; failed: (error: Error) => void }>()
  #asked = 0

  private constructor(name: string) {
    this.name = name
    const path = fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url))
    const options = { cwd: fileURLToPath(new URL('.', import.meta.url)), execArgv: ['--import=tsx'] }
    this.#child = fork(path, [], { ...options, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (answer: Answer) => this.#answered(answer))
    this.#child.once('exit', (code, signal) => this.#ended(`${name} ended (${signal ?? code})`))
    this.#child.once('error', (error) => this.#ended(`${name}: ${error.message}`))
  }

  static start(name: 'broker' | 'publisher' | 'subscriber'): Worker {
    return new Worker(name)
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  /** Throws when the program refuses, ends, or takes longer than 15 s. */
  ask<T = void>(ask: string, given: unknown = {}): Promise<T> {
    const id = this.#asked++
    const answer = new Promise<unknown>((done, failed) => {
      this.#waiting.set(id, { done, failed })
      this.#child.send({ id, ask, given } satisfies Question, (error) => {
        if (error) failed(error)
      })
    })
    return within(answer, {
      withinMs: ANSWER_WITHIN_MS,
      what: `${ask} of the ${this.name}`,
    }) as Promise<T>
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await within(ended, { withinMs: END_WITHIN_MS, what: `the end of the ${this.name}` })
  }

  #answered(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if ('error' in answer) waiting?.failed(new Error(`${this.name}: ${answer.error}`))
    else waiting?.done(answer.answer)
  }

  #ended(how: string): void {
    for (const { failed } of this.#waiting.values()) failed(new Error(how))
    this.#waiting.clear()
  }
}
