import { z } from 'zod'
import { about, durationAbout, plainText } from '@fieldwhisper/host'
import { Alarms } from '../alarms.js'

const MAX_ALARMS = 100
/** What `alarm/NAME/acknowledged` leaves of the name of a reading. */
const MAX_NAME_BYTES = 100

const alarm = z
  .strictObject({
    reading: about(plainText(1, 128), 'Name of the reading that is watched, with its prefix.'),
    name: about(
      plainText(1, MAX_NAME_BYTES).optional(),
      'What the alarm is called: its readings are alarm/NAME and alarm/NAME/acknowledged. Absent: as the reading.',
    ),
    above: about(z.number().optional(), 'Raised while the reading is above this. Either this or below.'),
    below: about(z.number().optional(), 'Raised while the reading is below this.'),
    clear: about(
      z.number().optional(),
      'Over when the reading is back behind this, so that it does not come and go. Absent: the limit itself.',
    ),
    hold: durationAbout(
      { min: '0s', max: '1h' },
      '0s',
      'The reading has to be beyond the limit for so long.',
    ),
  })
  .superRefine(({ reading, name, above, below, clear }, context) => {
    const issue = (key: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [key], message })
    }
    if ((above === undefined) === (below === undefined)) issue('above', 'either above or below is needed')
    if (above !== undefined && clear !== undefined && clear > above)
      issue('clear', 'clear is above the limit')
    if (below !== undefined && clear !== undefined && clear < below)
      issue('clear', 'clear is below the limit')
    if (name === undefined && Buffer.byteLength(reading) > MAX_NAME_BYTES)
      issue('name', `an alarm on so long a name needs one of its own, of ${MAX_NAME_BYTES} bytes at most`)
  })

export const alarmsSchema = z
  .array(alarm)
  .max(MAX_ALARMS)
  .default([])
  .superRefine((alarms, context) => {
    const names = alarms.map(({ name, reading }) => name ?? reading)
    names.forEach((name, index) => {
      if (names.indexOf(name) < index)
        context.addIssue({ code: 'custom', path: [index, 'name'], message: 'another alarm has this name' })
    })
  })

export type AlarmConfig = z.output<typeof alarmsSchema>[number]

/** The alarms of a configuration, none of them raised. */
export function alarmsOf(configs: readonly AlarmConfig[]): Alarms {
  return new Alarms(
    configs.map(({ name, reading, above, below, clear, hold }) => {
      const limit = above ?? below ?? 0
      const side = above === undefined ? 'below' : 'above'
      return { name: name ?? reading, reading, side, limit, clear: clear ?? limit, holdMs: hold }
    }),
  )
}
