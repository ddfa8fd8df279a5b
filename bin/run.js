#!/usr/bin/env -S node --
// "--" in the line above: without it node itself takes an --env-file that stands anywhere behind the script.
import { enableCompileCache } from 'node:module'

enableCompileCache()
const { execute } = await import('@oclif/core')
// Not awaited: with a top-level await, `tpx … --help | head` now and then ends with exit code 13.
void execute({ dir: import.meta.url })
