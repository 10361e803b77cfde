import { LOOPBACK } from '../programs/ports.js'

/**
 * Node-RED's settings as the text of its file. Who can deploy a flow can run programs as this user, and Node-RED 4 lets pages of
 * any site ask. So requests of other origins, and by other host names (a name can be made to point here), are refused.
 */
export function settingsText(port: number): string {
  return `// \`npm run demo:node-red\` writes this file at each start.
const hosts = ['${LOOPBACK}:${port}', 'localhost:${port}']
const onlyFromHere = (request, response, next) => {
  const { host, origin } = request.headers
  const from = origin === undefined || hosts.some((one) => origin === 'http://' + one)
  if (hosts.includes(host) && from) next()
  else response.status(403).send('This Node-RED answers its own machine only.')
}

module.exports = {
  uiHost: '${LOOPBACK}',
  uiPort: ${port},
  flowFile: 'flows.json',
  flowFilePretty: true,
  httpAdminMiddleware: onlyFromHere,
  httpNodeMiddleware: onlyFromHere,
  // No reports to its makers, no questions before the editor is seen.
  telemetry: { enabled: false, updateNotification: false },
  editorTheme: { tours: false },
  logging: { console: { level: 'info', metrics: false, audit: false } },
}
`
}
