import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { trafficImage, tunnelImage } from '../../src/container/image.ts'
import { bundlePrograms } from '../helpers/bundle.ts'
import { ensureManager, leftovers, quitAll, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { docker, eventually, kubectl, run, tpxOk } from '../helpers/tpx.ts'
import type { Answered, Question } from './ask.ts'
import { type NameServer, PUBLIC, startNameServer } from './name-server.ts'

/** The connected namespace. */
export const NAMESPACE = 'dns-test'
/** A second zone that the cluster's DNS serves, as in a cluster whose domain is not cluster.local. */
export const CUSTOM_DOMAIN = 'corp.example'
export const HOSTS_NAME = 'hosts-only.corp.test'

const root = new URL('../..', import.meta.url).pathname

const container = (name: string, args: string[], ports: object[] = []): object => ({
  args,
  image: SAMPLE_IMAGE,
  imagePullPolicy: 'Never',
  name,
  ports,
})

function pod(name: string, spec: object, labels: Record<string, string> = {}): object {
  const metadata = { labels, name, namespace: NAMESPACE }
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: { terminationGracePeriodSeconds: 0, ...spec } }
}

/** A Pod that does nothing but run ask.ts. */
function asker(name: string, spec: object = {}): object {
  const command = ['node', '-e', 'setInterval(() => {}, 2 ** 30)']
  return pod(name, { ...spec, containers: [{ command, image: trafficImage(), imagePullPolicy: 'Never', name: 'asker' }] })
}

const service = (name: string, spec: object): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: NAMESPACE },
  spec,
})
const httpPort = { name: 'http', port: 80, protocol: 'TCP', targetPort: 'http' }

const member = (name: string): object =>
  pod(
    name,
    { containers: [container('web', ['web'], [{ containerPort: 8080, name: 'http' }])], hostname: name, subdomain: 'db' },
    { app: 'db' },
  )

/** What the kubelet writes in a cluster with that domain. */
export const CORP_DNS = {
  nameservers: ['10.96.0.10'],
  options: [{ name: 'ndots', value: '5' }],
  searches: [`${NAMESPACE}.svc.${CUSTOM_DOMAIN}`, `svc.${CUSTOM_DOMAIN}`, CUSTOM_DOMAIN],
}

const OBJECTS = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { labels: { 'tpx.test': 'suite' }, name: NAMESPACE } },
  service('web', { ports: [httpPort, { name: 'admin', port: 8081, protocol: 'TCP' }], selector: { app: 'db' } }),
  service('db', { clusterIP: 'None', ports: [httpPort], selector: { app: 'db' } }),
  service('ext', { externalName: `www.${PUBLIC}`, type: 'ExternalName' }),
  member('db-0'),
  member('db-1'),
  asker('asker'),
  // What a Pod has in a cluster with that domain.
  asker('asker-corp', { dnsConfig: CORP_DNS, dnsPolicy: 'None' }),
]

export async function apply(objects: object[]): Promise<void> {
  const text = JSON.stringify({ apiVersion: 'v1', items: objects, kind: 'List' })
  await run(join(root, 'test/cluster/cluster'), ['kubectl', 'apply', '-f', '-'], { input: text, stdin: 'pipe' })
}

/** Makes the cluster's DNS serve the second zone, and ask the test's name server for all other names, until the stack is disposed. */
async function changeCoreDns(upstream: string, stack: AsyncDisposableStack): Promise<void> {
  const read = ['get', 'configmap', 'coredns', '--namespace', 'kube-system', '--output', 'jsonpath={.data.Corefile}']
  const before = await kubectl(...read)
  const write = async (corefile: string): Promise<void> => {
    const metadata = { name: 'coredns', namespace: 'kube-system' }
    await apply([{ apiVersion: 'v1', data: { Corefile: corefile }, kind: 'ConfigMap', metadata }])
    await kubectl('rollout', 'restart', 'deployment/coredns', '--namespace', 'kube-system')
    await kubectl('rollout', 'status', 'deployment/coredns', '--namespace', 'kube-system', '--timeout=60s')
  }
  // A run that was killed may have left its own.
  const usual = before.replace(` ${CUSTOM_DOMAIN} `, ' ').replace(/forward \. \S+/, 'forward . /etc/resolv.conf')
  const changed = usual
    .replace('kubernetes cluster.local ', `kubernetes cluster.local ${CUSTOM_DOMAIN} `)
    .replace('forward . /etc/resolv.conf', `forward . ${upstream}`)
  if (!changed.includes(CUSTOM_DOMAIN) || !changed.includes(upstream)) throw new Error(`Not the Corefile of the test cluster:\n${before}`)
  stack.defer(() => write(usual))
  await write(changed)
}

/** Everything that the suite asks, and who is asked. */
export type Lab = AsyncDisposable & {
  /** What is in it decides about every connection that is made from now on. */
  configFile: string
  /** Asks in the network namespace of a container of the engine. */
  askConnection: (connection: string, questions: Question[]) => Promise<Asked>
  askPod: (name: string, questions: Question[]) => Promise<Asked>
  /** Environment of `tpx`, so that the host's resolver is the test's. */
  env: Record<string, string>
  nameServer: NameServer
}
export type Asked = { answers: Answered[]; resolvConf: { nameserver: string; ndots: number; search: string[] } }

/** Sets up the cluster, the host's resolver and the traffic-manager. */
export async function startLab(): Promise<Lab> {
  const stack = new AsyncDisposableStack()
  try {
    return await setUp(stack)
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

async function setUp(stack: AsyncDisposableStack): Promise<Lab> {
  await quitAll()
  const programs = stack.use(await bundlePrograms({ ask: new URL('./ask.ts', import.meta.url) }))
  const stdin = { file: join(programs.directory, 'ask.cjs') }
  // The host, as Pods, nodes and containers see it.
  const gateway = (
    await docker('inspect', 'tpx-test-control-plane', '--format', '{{(index .NetworkSettings.Networks "tpx-test").Gateway}}')
  ).trim()
  const nameServer = stack.use(await startNameServer(gateway))
  const hostsFile = join(programs.directory, 'hosts')
  writeFileSync(hostsFile, `127.0.0.1 localhost\n10.20.30.41 ${HOSTS_NAME} hosts-short\n`)
  await apply(OBJECTS)
  stack.defer(async () => void (await kubectl('delete', 'namespace', NAMESPACE, '--wait=false')))
  await changeCoreDns(`${gateway}:${nameServer.port}`, stack)
  stack.defer(quitAll)
  await ensureManager()
  for (const name of ['db-0', 'db-1', 'asker', 'asker-corp'])
    await kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--namespace', NAMESPACE, '--timeout=60s')
  const configFile = join(programs.directory, 'config.yml')
  writeFileSync(configFile, '')
  return {
    configFile,
    askConnection: async (connection, questions) => {
      const words = [
        'run',
        '--rm',
        '--interactive',
        '--network',
        `container:tpx-${connection}-holder`,
        '--entrypoint',
        'node',
        tunnelImage(),
      ]
      return JSON.parse(await run('docker', [...words, '-', JSON.stringify(questions)], { stdin })) as Asked
    },
    askPod: async (name, questions) => {
      const words = ['kubectl', 'exec', '--stdin', '--namespace', NAMESPACE, name, '--', 'node', '-', JSON.stringify(questions)]
      return JSON.parse(await run(join(root, 'test/cluster/cluster'), words, { stdin })) as Asked
    },
    env: { TPX_CONFIG: configFile, TPX_HOST_NAMESERVERS: `${gateway}:${nameServer.port}`, TPX_HOSTS_FILE: hostsFile },
    nameServer,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** Connects to the namespace of the suite. */
export async function connect(lab: Lab, name: string, ...words: string[]): Promise<{ stderr: string }> {
  const { stderr } = await tpxOk(['connect', '--name', name, '--namespace', NAMESPACE, ...words], { env: lab.env })
  return { stderr }
}

/** Ends a connection; nothing may be left of it. */
export async function disconnect(name: string): Promise<void> {
  await tpxOk(['quit', '--use', name])
  await eventually('nothing to be left', async () => !(await leftovers()).includes(`tpx-${name}-`), 5000)
}

/** Kills a connection's link, and first the shell that would start it again. */
export function killLink(pid: number): void {
  const parent = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  if (readFileSync(`/proc/${parent}/cmdline`, 'utf8').includes('tpx-link')) process.kill(parent, 'SIGKILL')
  process.kill(pid, 'SIGKILL')
}
