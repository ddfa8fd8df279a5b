// npm run check: types, lint, format, dead code and unit tests. Everything runs at the same time (the tests of a folder share a
// process: most of their time is waiting); a step's output is shown when it fails, and one failure fails the whole.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'

type Step = { args: string[]; command: string; title: string }

const tools: Step[] = [
  { title: 'types', command: 'tsc', args: ['-b'] },
  { title: 'lint', command: 'oxlint', args: ['--type-aware', '--quiet'] },
  { title: 'format', command: 'oxfmt', args: ['--check'] },
  { title: 'dead code', command: 'knip', args: ['--no-progress'] },
]
const folders = readdirSync('test/unit', { withFileTypes: true }).filter((entry) => entry.isDirectory())
const tests = ['.', ...folders.map(({ name }) => name)].map((folder) => ({
  title: `unit tests of ${folder}`,
  command: 'node',
  args: [
    '--test',
    '--test-isolation=none',
    '--test-force-exit',
    '--test-timeout=20000',
    '--test-reporter=dot',
    folder === '.' ? 'test/unit/*.test.ts' : `test/unit/${folder}/**/*.test.ts`,
  ],
}))

function run({ args, command, title }: Step): Promise<boolean> {
  return new Promise((resolve) => {
    const began = performance.now()
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.once('close', (code) => {
      const seconds = ((performance.now() - began) / 1000).toFixed(1)
      process.stderr.write(code === 0 ? `ok   ${title} ${seconds} s\n` : `${output}\nFAIL ${title} ${seconds} s\n`)
      resolve(code === 0)
    })
  })
}

const began = performance.now()
const results = await Promise.all([...tools, ...tests].map(run))
process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1)} s\n`)
process.exitCode = results.every(Boolean) ? 0 : 1
