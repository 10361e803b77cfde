export { loadGatewayConfig } from './load.js'
export {
  gatewayConfigJsonSchema,
  gatewayConfigSchema,
  type GatewayConfig,
  type GatewayConfigInput,
} from './schema.js'
