/** The one table of programs that are bundled into a single file each. */
export type Program = {
  /** Packages that must not get into the bundle -> why. */
  forbidden: Record<string, string>
  entry: string
  name: string
  output: string
}

const noKubernetes = { '@kubernetes/client-node': 'this program must hold no Kubernetes credentials' }
const noDocker = { dockerode: 'this program runs where there is no Docker engine to talk to' }

export const PROGRAMS: Program[] = [
  { name: 'link', entry: 'src/link/main.ts', output: 'dist/programs/link.cjs', forbidden: { koffi: 'the host needs no native code' } },
  { name: 'tunnel', entry: 'src/tunnel/main.ts', output: 'dist/programs/tunnel.cjs', forbidden: { ...noKubernetes, ...noDocker } },
  { name: 'traffic-manager', entry: 'src/traffic-manager/main.ts', output: 'dist/programs/traffic-manager.cjs', forbidden: noDocker },
  {
    name: 'traffic-agent',
    entry: 'src/traffic-agent/main.ts',
    output: 'dist/programs/traffic-agent.cjs',
    forbidden: { ...noKubernetes, ...noDocker },
  },
]
