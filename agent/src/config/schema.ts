import { z } from 'zod'
import { about, configSchemaJson, limitField, limitsSchema, plainText } from '@fieldwhisper/host'
import { lanSchema, relaysSchema } from '@fieldwhisper/mesh'
import { AGENT_OPTIONS, BATCH_OPTIONS, SPOOL_OPTIONS } from '../limits.js'
import { alarmsSchema } from './alarms.js'
import { commandsSchema } from './commands.js'
import { sourcesSchema } from './sources.js'

/** The configuration of an agent; every key may be left out, `{}` reports this machine. */
export const agentConfigSchema = z.strictObject({
  name: about(
    plainText(1, 64).optional(),
    'What this agent calls itself in its log and status. Absent: the name in its invite, which it has in MQTT in any case.',
  ),
  sources: about(
    sourcesSchema.prefault([{ type: 'system' }]),
    'Where readings come from. Absent: this machine itself. An empty list: readings come from programs only.',
  ),
  lan: about(
    lanSchema
      .extend({
        offer: about(
          z.enum(['two', 'all']).default('two'),
          'Links on which a new reading is offered: the one that last brought a confirmation and one other, or all. all: more cover, more traffic.',
        ),
      })
      .prefault({}),
    'The path over the local network.',
  ),
  relays: about(
    relaysSchema.optional(),
    'Relays in place of those of the invite, for one that moved. Absent: those of the invite. An empty list: none at all.',
  ),
  batch: about(
    z
      .strictObject({
        interval: limitField(BATCH_OPTIONS.intervalMs),
        max_readings: limitField(BATCH_OPTIONS.maxReadings),
      })
      .prefault({}),
    'How readings are grouped.',
  ),
  spool: about(
    z
      .strictObject({
        max_bytes: limitField(SPOOL_OPTIONS.maxBytes),
        max_age: limitField(SPOOL_OPTIONS.maxAgeMs),
        min_free_disk: limitField(SPOOL_OPTIONS.minFreeBytes),
        on_full: about(
          z.enum(['drop_oldest', 'drop_newest', 'block']).default('drop_oldest'),
          'What gives way when the spool is full. block: sources that can wait do. What is dropped is counted and reported.',
        ),
        order: about(
          z.enum(['live_first', 'in_order']).default('live_first'),
          'What is sent first after an outage: new readings, or the oldest. in_order: a new reading waits for all before it.',
        ),
      })
      .prefault({}),
    'Readings on disk until the gateway has them.',
  ),
  alarms: about(
    alarmsSchema,
    'Limits of readings; what goes beyond one is a reading of its own that is sent before all others. docs/commands.md.',
  ),
  commands: about(commandsSchema, 'What the gateway may ask of this agent; docs/commands.md.'),
  limits: about(
    limitsSchema(AGENT_OPTIONS).prefault({}),
    'What this agent opens, sends and keeps on its way at most; docs/limits.md has the reasons.',
  ),
  state: about(
    plainText(1, 4_096).optional(),
    'Folder for identity and spool, relative to this file. Absent: the one of the command line.',
  ),
  log: about(
    z
      .strictObject({
        level: about(
          z.enum(['debug', 'info', 'warn', 'error']).default('info'),
          'The least that is written.',
        ),
        format: about(z.enum(['text', 'json']).default('text'), 'json: one object a line.'),
      })
      .prefault({}),
    'What is written to standard error.',
  ),
})

export type AgentConfig = z.output<typeof agentConfigSchema>
/** As it is written in YAML. */
export type AgentConfigInput = z.input<typeof agentConfigSchema>

/** What is published as docs/schema/agent.json, for editors that complete and check YAML. */
export function agentConfigJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = configSchemaJson(agentConfigSchema)
  return { $schema, title: 'Configuration of a Fieldwhisper agent', ...rest }
}
