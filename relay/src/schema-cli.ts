/** Prints the JSON Schema of the relay's configuration: `node relay/dist/schema-cli.js > docs/schema/relay.json` */
import { relayConfigJsonSchema } from './config.js'

process.stdout.write(`${JSON.stringify(relayConfigJsonSchema(), null, 2)}\n`)
