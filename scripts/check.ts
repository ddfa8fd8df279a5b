// npm run check: types, lint, format, dead code and unit tests; every step runs, the first failure decides the exit code.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'

const steps: [string, string[]][] = [
  ['tsc', ['-b']],
  ['oxlint', ['--type-aware', '--quiet']],
  ['oxfmt', ['--check']],
  ['knip', ['--no-progress']],
  ['node', ['--test', '--test-isolation=none', '--test-reporter=dot', ...globSync('test/unit/**/*.test.ts')]],
]

let status = 0
for (const [command, args] of steps) {
  const began = performance.now()
  const result = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  process.stderr.write(`${result.status === 0 ? 'ok  ' : 'FAIL'} ${command} ${seconds} s\n`)
  status ||= result.status ?? 1
}
process.exitCode = status
