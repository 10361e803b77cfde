import { GatewayError } from '../errors.js'
import { escapeLevel } from '../bridge/topics.js'
import { LEGACY_STATE_TOPIC, NAMESPACE } from './constants.js'

/** Kinds of messages about the node itself; the others are about a device. */
export type NodeMessage = 'NBIRTH' | 'NDEATH' | 'NCMD'
export type DeviceMessage = 'DBIRTH' | 'DDEATH' | 'DDATA' | 'DCMD'

export interface SparkplugTopics {
  node(kind: NodeMessage): string
  device(kind: DeviceMessage, device: string): string
  /** Commands to any device of this node. */
  readonly commands: string
  /** The device of a topic that `commands` finds; undefined for any other topic. */
  commandedDevice(topic: string): string | undefined
  /** Where the primary host tells its state, in the form of 3.0 and in that of before. */
  readonly state?: string
  readonly legacyState?: string
}

/**
 * @param group any name; escaped
 * @param edge any name; escaped
 * @param hostId the primary host's id, which must match to the byte and so is not escaped
 * @throws GatewayError `FW_SPARKPLUG_ID_INVALID` for an empty name, and for a host id over 128 characters or with `+`, `/`
 *   or `#`; `FW_TOPIC_NAME_INVALID` for a name over 128 bytes
 */
export function sparkplugTopics(group: string, edge: string, hostId?: string): SparkplugTopics {
  const [groupId, edgeId] = [nodeId(group, 'group'), nodeId(edge, 'edge node')]
  if (hostId !== undefined) checkHostId(hostId)
  const device = (kind: DeviceMessage, id: string): string =>
    `${NAMESPACE}/${groupId}/${kind}/${edgeId}/${id}`
  const commandPrefix = device('DCMD', '')
  return {
    node: (kind) => `${NAMESPACE}/${groupId}/${kind}/${edgeId}`,
    device,
    commands: device('DCMD', '+'),
    commandedDevice: (topic) => {
      const id = topic.slice(commandPrefix.length)
      return topic.startsWith(commandPrefix) && id !== '' && !id.includes('/') ? id : undefined
    },
    ...(hostId !== undefined && {
      state: `${NAMESPACE}/STATE/${hostId}`,
      legacyState: `${LEGACY_STATE_TOPIC}/${hostId}`,
    }),
  }
}

function nodeId(name: string, what: string): string {
  if (name === '') throw refused(`The name of the Sparkplug ${what} is empty.`)
  return escapeLevel(name)
}

const HOST_ID = /^[^+/#\p{Cc}]{1,128}$/u

function checkHostId(hostId: string): void {
  if (HOST_ID.test(hostId)) return
  throw refused('The id of the Sparkplug primary host is empty, too long or holds a reserved character.')
}

function refused(message: string): GatewayError {
  return new GatewayError('FW_SPARKPLUG_ID_INVALID', message)
}

/**
 * Ids of devices: the escaped name. Where two names differ in case only, which hosts may take for one, the one that comes
 * second has its letters escaped as well. Either form decodes to the name, so no two names share an id.
 */
export class DeviceIds {
  readonly #names = new Map<string, string>()
  readonly #ids = new Map<string, string>()
  /** Ids without regard to case. */
  readonly #folded = new Set<string>()

  /** The same for the same name until it is forgotten. Throws GatewayError `FW_TOPIC_NAME_INVALID`. */
  idOf(name: string): string {
    const known = this.#ids.get(name)
    if (known !== undefined) return known
    const plain = escapeLevel(name)
    const id = this.#folded.has(plain.toLowerCase()) ? escapeLetters(name) : plain
    this.#ids.set(name, id)
    this.#names.set(id, name)
    this.#folded.add(id.toLowerCase())
    return id
  }

  nameOf(id: string): string | undefined {
    return this.#names.get(id)
  }

  forget(name: string): void {
    const id = this.#ids.get(name)
    if (id === undefined) return
    this.#ids.delete(name)
    this.#names.delete(id)
    this.#folded.delete(id.toLowerCase())
  }
}

/** Every letter that has a case, and what topics reserve. */
function escapeLetters(name: string): string {
  return [...name]
    .map((letter) => (letter.toLowerCase() === letter.toUpperCase() ? escapeLevel(letter) : percent(letter)))
    .join('')
}

function percent(text: string): string {
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
}
