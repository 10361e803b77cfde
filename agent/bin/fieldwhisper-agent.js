#!/usr/bin/env node
// Here because npm links commands when it installs, before anything is built.
import '../dist/cli.js'
