import { createReporter } from '@fieldwhisper/host'
import t from 'tap'
import { loadGatewayConfig } from '../../../gateway/src/config/load.js'
import { controlHandlers } from '../../../gateway/src/operator.js'

void t.test('a gateway that is still starting puts a command off and has no status', (t) => {
  const place = {
    stateDir: '/nowhere',
    config: loadGatewayConfig(),
    reporter: createReporter({ write: () => undefined }),
  }
  const handlers = controlHandlers(() => undefined, place)
  t.throws(() => handlers['agents']!({}), { code: 'FW_GATEWAY_STARTING' })
  t.equal(handlers['status']!({}), null)
  t.end()
})
