/** Prints the JSON Schema of the agent's configuration: `node agent/dist/config/schema-cli.js > docs/schema/agent.json` */
import { agentConfigJsonSchema } from './schema.js'

process.stdout.write(`${JSON.stringify(agentConfigJsonSchema(), null, 2)}\n`)
