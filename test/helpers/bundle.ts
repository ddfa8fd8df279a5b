import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/**
 * Bundles TypeScript programs into one CommonJS file each, for containers.
 * @param entries name -> file URL
 * @returns a directory with `<name>.cjs`; disposing removes it
 */
export async function bundlePrograms(entries: Record<string, URL>): Promise<{ directory: string } & Disposable> {
  const directory = mkdtempSync(join(tmpdir(), 'tpx-test-'))
  await build({
    bundle: true,
    define: { TPX_VERSION: '"0.0.0-test"' },
    entryPoints: Object.fromEntries(Object.entries(entries).map(([name, url]) => [name, fileURLToPath(url)])),
    external: ['koffi'],
    format: 'cjs',
    logLevel: 'error',
    logOverride: { 'empty-import-meta': 'silent' },
    outdir: directory,
    outExtension: { '.js': '.cjs' },
    platform: 'node',
    target: 'node22',
  })
  return { directory, [Symbol.dispose]: () => rmSync(directory, { force: true, recursive: true }) }
}
