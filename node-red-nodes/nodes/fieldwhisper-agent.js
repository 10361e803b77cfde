// Node-RED looks for the editor's half, texts and icons beside this file; the runtime's half is compiled from src.
module.exports = require('../dist/agent-node').registerAgent
