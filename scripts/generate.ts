// npm run generate [-- --check]: writes what is made from other files (protocol stubs, oclif.manifest.json, docs/errors.md,
// docs/config.schema.json, the part `client` of charts/tpx/values.schema.json).
// With --check nothing is written, and a difference is a failure.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { Plugin } from '@oclif/core'
import { chartClientSchema, configSchema } from './config-schema.ts'
import { ERROR_CODES, EXIT_STATUS } from '../src/base/error-codes.ts'

const VALUES_SCHEMA = 'charts/tpx/values.schema.json'

/** Commands and flags as oclif sees them: the committed snapshot of the command surface. Needs `npm run build`. */
async function manifest(): Promise<string> {
  const plugin = new Plugin({
    errorOnManifestCreate: true,
    ignoreManifest: true,
    respectNoCacheDefault: true,
    root: process.cwd(),
    type: 'core',
  })
  await plugin.load()
  const text = JSON.stringify(plugin.manifest, undefined, 2)
  if (Object.keys(plugin.manifest.commands).length === 0) throw new Error('The manifest is empty: build first')
  return `${text}\n`
}

function errorPage(): string {
  const rows = Object.entries(ERROR_CODES).map(([code, [kind, meaning]]) => `| \`${code}\` | ${EXIT_STATUS[kind]} | ${meaning} |`)
  return `# Error codes

Every failure has a code, a sentence and a next step. \`--output json\` prints \`{"error":{"code","message","hint"}}\` on stdout.
\`tpx docker-run\` passes the app's exit status on and ends with 125 for failures of its own, as \`docker run\` does.
This page is made from \`src/base/error-codes.ts\` by \`npm run generate\`.

| code | exit status | meaning |
|---|---|---|
${rows.join('\n')}
`
}

/** The chart's schema with the part `client` as it is for config.yml. */
function valuesSchema(): string {
  const client = JSON.stringify(chartClientSchema(), undefined, 2).replaceAll('\n', '\n    ')
  return readFileSync(VALUES_SCHEMA, 'utf8').replace(
    /("client": )[^]*?(,\n {4}"clientRbac")/,
    (_, before: string, after: string) => before + client + after,
  )
}

const check = process.argv.includes('--check')
const files: Record<string, string> = {
  [VALUES_SCHEMA]: valuesSchema(),
  'docs/config.schema.json': `${JSON.stringify(configSchema(), undefined, 2)}\n`,
  'docs/errors.md': errorPage(),
  'oclif.manifest.json': await manifest(),
}
mkdirSync('docs', { recursive: true })
for (const [path, text] of Object.entries(files)) {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) continue
  if (check) {
    process.stderr.write(`${path} is not up to date: run "npm run build && npm run generate"\n`)
    process.exitCode = 1
  } else writeFileSync(path, text)
}
if (!check) execFileSync('buf', ['generate'], { cwd: 'src/wire/proto', stdio: 'inherit' })
