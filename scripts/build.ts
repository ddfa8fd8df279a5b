// node scripts/build.ts [programs|cli]: bundles the programs (one CommonJS file each) and the CLI (ES modules, one entry a command).
// CommonJS for the programs because grpc-js in an ES bundle dies at start ("Dynamic require").
import { existsSync, globSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { build, type BuildOptions, type Metafile, type Plugin } from 'esbuild'
import { PROGRAMS } from './programs.ts'

const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string }

/** dockerode loads gRPC for BuildKit's sessions, which nothing here opens: 30 ms of every command that talks to the engine. */
const withoutBuildKit: Plugin = {
  name: 'without-buildkit',
  setup(build) {
    build.onLoad({ filter: /dockerode\/lib\/session\.js$/ }, () => ({
      contents: "module.exports = () => { throw new Error('BuildKit sessions are left out') }",
    }))
  },
}

// dockerode reaches ssh2 with optional native parts; nothing here needs them.
const common = {
  bundle: true,
  platform: 'node',
  target: 'node22',
  define: { TPX_VERSION: JSON.stringify(version) },
  external: ['koffi', 'cpu-features', '*.node'] as string[],
  logLevel: 'warning',
  metafile: true,
  legalComments: 'none',
  plugins: [withoutBuildKit],
} as const satisfies BuildOptions

/** npm packages that bytes of the bundle come from, sorted: what tree shaking removed does not count. */
function packagesOf({ outputs }: Metafile): string[] {
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs))
  const names = inputs.map(([path, { bytesInOutput }]) =>
    bytesInOutput > 0 ? /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] : undefined,
  )
  return [...new Set(names.filter((name) => name !== undefined))].sort()
}

async function buildPrograms(): Promise<void> {
  for (const program of PROGRAMS.filter(({ entry }) => existsSync(entry))) {
    // CommonJS has no import.meta.url; version.ts is the only reader and is replaced by the define.
    const { metafile } = await build({
      ...common,
      entryPoints: [program.entry],
      outfile: program.output,
      format: 'cjs',
      minifySyntax: true,
      logOverride: { 'empty-import-meta': 'silent' },
    })
    const packages = packagesOf(metafile)
    for (const [name, why] of Object.entries(program.forbidden))
      if (packages.includes(name)) throw new Error(`${program.name} must not contain ${name}: ${why}`)
    await writeFile(program.entry.replace(/main\.ts$/, 'deps.txt'), `${packages.join('\n')}\n`)
  }
}

async function buildCli(): Promise<void> {
  rmSync('dist/cli', { recursive: true, force: true })
  const commands = globSync('src/commands/**/*.ts')
  const entryPoints = {
    main: 'src/cli/main.ts',
    ...Object.fromEntries(commands.map((path) => [path.slice('src/'.length, -'.ts'.length), path])),
  }
  // CommonJS packages inside ES modules ask for these.
  const js =
    "import { createRequire as tpxCreateRequire } from 'node:module'; const require = tpxCreateRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname;"
  await build({
    ...common,
    entryPoints,
    outdir: 'dist/cli',
    format: 'esm',
    splitting: true,
    banner: { js },
    minifySyntax: true,
    chunkNames: 'chunks/[name]-[hash]',
  })
}

const [what = 'all'] = process.argv.slice(2)
if (what !== 'cli') await buildPrograms()
if (what !== 'programs') await buildCli()
