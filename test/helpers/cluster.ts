import { docker, kubectl, tpx, tpxOk } from './tpx.ts'

/** Image of the sample application's program, also a probe (`/sample get URL`, `/sample tcp HOST:PORT`, …). */
export const SAMPLE_IMAGE = 'tpx-test/sample:1'

/** Installs the traffic-manager unless it is there. */
export async function ensureManager(): Promise<void> {
  const found = await kubectl('get', 'deployment', 'traffic-manager', '--namespace', 'ambassador', '--ignore-not-found', '--output', 'name')
  if (!found.trim()) await tpxOk(['helm', 'install'])
}

/** Ends every connection of this host; what a test left behind must not decide the next one. */
export async function quitAll(): Promise<void> {
  await tpx(['quit', '--all'])
}

/** Everything that tpx made on this engine, as text; empty when nothing is left. */
export async function leftovers(): Promise<string> {
  const containers = await docker('ps', '--all', '--filter', 'label=dev.tpx.role', '--format', '{{.Names}} {{.Status}}')
  const volumes = await docker('volume', 'ls', '--filter', 'label=dev.tpx.role', '--format', '{{.Name}}')
  return [containers, volumes].join('\n').trim()
}

/** Runs a probe of the sample image in the network namespace of a connection; answers output and exit status, joined. */
export async function probe(connection: string, ...words: string[]): Promise<string> {
  try {
    return await docker('run', '--rm', '--network', `container:tpx-${connection}-holder`, SAMPLE_IMAGE, ...words)
  } catch (error) {
    const { stderr, stdout } = error as { stderr?: string; stdout?: string }
    return `${stdout ?? ''}\n${stderr ?? ''}`.trim()
  }
}
