/** Prints the JSON Schema of the gateway's configuration: `node gateway/dist/config/schema-cli.js > docs/schema/gateway.json` */
import { gatewayConfigJsonSchema } from './schema.js'

process.stdout.write(`${JSON.stringify(gatewayConfigJsonSchema(), null, 2)}\n`)
