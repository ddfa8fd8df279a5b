#!/usr/bin/env -S node --
// "--" in the line above: without it node itself takes an --env-file that stands anywhere behind the script.
import { enableCompileCache } from 'node:module'

enableCompileCache()
const { run } = await import('../dist/cli/main.js')
run(import.meta.url)
