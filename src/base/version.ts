import { readFileSync } from 'node:fs'

// esbuild puts the version in at build time; unbuilt (tests, scripts) it is read from package.json.
declare const TPX_VERSION: string

/** This build's semantic version, without a leading "v". */
export const VERSION: string =
  typeof TPX_VERSION === 'string'
    ? TPX_VERSION
    : (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version
