// Names in a connection, against names in a Pod of the connected namespace: the same question, the same answer.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { tunnelImage } from '../../src/container/image.ts'
import { docker, eventually, kubectl, tpx, tpxOk } from '../helpers/tpx.ts'
import type { DnsTrace } from '../../src/wire/control.ts'
import type { Answered, Question } from './ask.ts'
import {
  apply,
  type Asked,
  connect,
  CORP_DNS,
  CUSTOM_DOMAIN,
  disconnect,
  HOSTS_NAME,
  killLink,
  type Lab,
  NAMESPACE,
  startLab,
} from './lab.ts'
import { PUBLIC } from './name-server.ts'

let lab: Lab
before(async () => void (lab = await startLab()))
after(() => lab[Symbol.asyncDispose]())

type Row = { name: string; only?: 'tcp' | 'udp'; search?: true; type?: string; what: string }

const address = (kind: string, name: string, path: string): Promise<string> =>
  kubectl('get', kind, name, '--namespace', NAMESPACE, '--output', `jsonpath={${path}}`)
const reverse = (ip: string): string => `${ip.split('.').toReversed().join('.')}.in-addr.arpa`

/** Names below the cluster's domain. @param domain the cluster's */
async function clusterRows(domain: string): Promise<Row[]> {
  const [serviceIp, podIp] = [await address('service', 'web', '.spec.clusterIP'), await address('pod', 'db-0', '.status.podIP')]
  const below = `${NAMESPACE}.svc.${domain}`
  return [
    { what: 'short', name: 'web', search: true },
    { what: 'short in capitals', name: 'WEB', search: true },
    { what: 'svc.ns', name: `web.${NAMESPACE}`, search: true },
    { what: 'svc.ns of another namespace', name: 'kubernetes.default', search: true },
    { what: 'svc.ns.svc', name: `web.${NAMESPACE}.svc`, search: true },
    { what: 'FQDN', name: `web.${below}` },
    { what: 'FQDN, no AAAA beside the A', name: `web.${below}`, type: 'AAAA' },
    { what: 'FQDN, type without records', name: `web.${below}`, type: 'TXT' },
    { what: 'FQDN, type HTTPS', name: `web.${below}`, type: 'HTTPS' },
    { what: 'headless Service', name: 'db', search: true },
    { what: 'headless pod', name: 'db-0.db', search: true },
    { what: 'headless pod, FQDN', name: `db-1.db.${below}` },
    { what: 'pod by its address', name: `${podIp.replaceAll('.', '-')}.${NAMESPACE}.pod.${domain}` },
    { what: 'SRV of a named port', name: `_http._tcp.web.${below}`, type: 'SRV' },
    { what: 'SRV, short', name: '_admin._tcp.web', search: true, type: 'SRV' },
    { what: 'SRV of a headless Service', name: `_http._tcp.db.${below}`, type: 'SRV' },
    { what: 'SRV of a port that is not there', name: `_nope._tcp.web.${below}`, type: 'SRV' },
    { what: 'PTR of a Service', name: reverse(serviceIp), type: 'PTR' },
    { what: 'PTR of a Pod', name: reverse(podIp), type: 'PTR' },
    { what: 'PTR of an unused address of the cluster', name: reverse('10.96.255.254'), type: 'PTR' },
    { what: 'CNAME (ExternalName)', name: `ext.${below}`, type: 'CNAME' },
    { what: 'ExternalName, its address', name: 'ext', search: true },
    { what: 'TXT', name: `dns-version.${domain}`, type: 'TXT' },
    { what: 'NS', name: domain, type: 'NS' },
    { what: 'MX', name: domain, type: 'MX' },
    { what: 'a namespace', name: below },
    { what: 'non-existent, short', name: 'no-such-name', search: true },
    { what: 'non-existent Service', name: `no-such-name.${below}` },
    { what: 'non-existent namespace', name: `web.no-such-namespace.svc.${domain}` },
    { what: 'non-existent, AAAA', name: `no-such-name.${below}`, type: 'AAAA' },
  ]
}

const PUBLIC_ROWS: Row[] = [
  { what: 'public A', name: `www.${PUBLIC}` },
  { what: 'public A through the search list', name: `www.${PUBLIC}`, search: true },
  { what: 'public AAAA', name: `www.${PUBLIC}`, type: 'AAAA' },
  { what: 'public, no AAAA beside the A', name: `only4.${PUBLIC}`, type: 'AAAA' },
  { what: 'public CNAME chain', name: `alias.${PUBLIC}` },
  { what: 'public CNAME', name: `alias.${PUBLIC}`, type: 'CNAME' },
  { what: 'public TXT', name: `text.${PUBLIC}`, type: 'TXT' },
  { what: 'public MX', name: PUBLIC, type: 'MX' },
  { what: 'public SRV', name: `_ldap._tcp.${PUBLIC}`, type: 'SRV' },
  { what: 'public, more than a datagram', name: `many.${PUBLIC}`, only: 'tcp' },
  { what: 'public, non-existent', name: `no-such-name.${PUBLIC}` },
  { what: 'public, non-existent, through the search list', name: `no-such-name.${PUBLIC}`, search: true },
]

const comparable = ({ owner, rcode, records }: Answered) => ({ owner: owner.toLowerCase(), rcode, records })

/** Asks Pod and connection the same, and fails with every row that differs. */
async function compare(rows: Row[], connection: string, podName: string): Promise<{ connected: Asked; pod: Asked }> {
  const asked = rows.flatMap((row) =>
    (['udp', 'tcp'] as const)
      .filter((transport) => !row.only || row.only === transport)
      .map((transport) => ({
        row,
        question: { edns: 1232, name: row.name, search: row.search ?? false, transport, type: row.type ?? 'A' },
      })),
  )
  const questions = asked.map(({ question }) => question)
  const [pod, connected] = [await lab.askPod(podName, questions), await lab.askConnection(connection, questions)]
  const label = (i: number): string => `${asked[i]!.row.what}, ${asked[i]!.question.transport}`
  const table = ({ answers }: Asked) => Object.fromEntries(answers.map((answer, i) => [label(i), comparable(answer)]))
  assert.deepEqual(table(connected), table(pod))
  assert.equal(connected.answers.length, asked.length)
  return { connected, pod }
}

const found = ({ answers }: Asked): string[] => answers.map(({ rcode, records }) => `${rcode} ${records.join(' | ')}`.trim())
const ask = (name: string, options: Partial<Question> = {}): Question => ({ edns: 1232, name, transport: 'udp', type: 'A', ...options })

describe('a connection to a cluster with the usual domain', () => {
  before(() => connect(lab, 'dns-a'))
  after(() => tpx(['quit', '--all']))

  test("search list and ndots are a Pod's, in its order", async () => {
    const [pod, connected] = [await lab.askPod('asker', []), await lab.askConnection('dns-a', [])]
    const { nameserver: _, ...resolvConf } = connected.resolvConf
    assert.deepEqual(resolvConf, { ndots: pod.resolvConf.ndots, search: pod.resolvConf.search })
    assert.equal(connected.resolvConf.nameserver, '198.18.0.1')
  })

  test('every name of the cluster has the answer that a Pod gets, by UDP and TCP, and what is not there is denied fast', async () => {
    const { connected } = await compare(await clusterRows('cluster.local'), 'dns-a', 'asker')
    // The table says nothing if nobody knows a name.
    assert.ok(connected.answers.filter(({ records }) => records.length > 0).length >= 36)
    for (const { ms, owner } of connected.answers) assert.ok(ms < 2000, `${owner} took ${ms} ms`)
  })

  test('every public name has the answer that a Pod gets, by UDP and TCP', async () => {
    const { connected } = await compare(PUBLIC_ROWS, 'dns-a', 'asker')
    assert.ok(connected.answers.filter(({ records }) => records.length > 0).length >= 15)
  })

  test('what does not fit into a datagram is cut by UDP and whole by TCP; EDNS makes room', async () => {
    const name = `many.${PUBLIC}`
    const questions = [ask(name, { edns: 0 }), ask(name, { edns: 4096 }), ask(name, { transport: 'tcp' })]
    const { answers } = await lab.askConnection('dns-a', questions)
    assert.deepEqual(
      answers.map(({ records, truncated }) => [records.length, truncated]),
      [
        [0, true],
        [80, false],
        [80, false],
      ],
    )
  })

  test("getaddrinfo() of a container finds what a Pod's does", async () => {
    const names = ['web', `web.${NAMESPACE}`, 'db-0.db', 'ext', `www.${PUBLIC}`, 'no-such-name', `no-such-name.${PUBLIC}`]
    const questions = names.map((name) => ask(name, { transport: 'libc' }))
    const [pod, connected] = [await lab.askPod('asker', questions), await lab.askConnection('dns-a', questions)]
    assert.deepEqual(found(connected), found(pod))
    assert.match(found(connected)[0] ?? '', /^NOERROR 10\.96\./)
  })

  test("names that only the host knows resolve: from its hosts file and from its VPN's name server", async () => {
    const questions = [
      ask(HOSTS_NAME),
      ask('hosts-short', { search: true }),
      ask(`intranet.${PUBLIC}`, { transport: 'tcp' }),
      ask(reverse('10.20.30.41'), { type: 'PTR' }),
      ask(HOSTS_NAME, { type: 'AAAA' }),
    ]
    assert.deepEqual(found(await lab.askConnection('dns-a', questions)), [
      `NOERROR ${HOSTS_NAME} A 10.20.30.41`,
      'NOERROR hosts-short A 10.20.30.41',
      `NOERROR intranet.${PUBLIC} A 10.20.30.40`,
      `NOERROR 41.30.20.10.in-addr.arpa PTR ${HOSTS_NAME}`,
      'NOERROR',
    ])
    assert.deepEqual(found(await lab.askPod('asker', [ask(`intranet.${PUBLIC}`)])), ['NXDOMAIN'])
  })

  test('a warm name takes less than 50 ms (p95)', async () => {
    const { answers } = await lab.askConnection(
      'dns-a',
      Array.from({ length: 200 }, () => ask(`web.${NAMESPACE}.svc.cluster.local`)),
    )
    const sorted = answers.map(({ ms }) => ms).sort((a, b) => a - b)
    assert.ok(answers.every(({ rcode }) => rcode === 'NOERROR'))
    assert.ok((sorted[190] ?? 99) < 50, `p95 ${sorted[190]} ms`)
  })

  test('a Service that is made anew has its new address within 3 s of a Pod', async () => {
    const make = (clusterIP: string): object => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'again', namespace: NAMESPACE },
      spec: { clusterIP, ports: [{ port: 80 }] },
    })
    const question = [ask('again', { search: true })]
    await apply([make('10.96.77.1')])
    const isNow = (address: string, whom: () => Promise<Asked>) => async () => (await whom()).answers[0]?.records[0]?.endsWith(address)
    const inPod = () => lab.askPod('asker', question)
    const inConnection = () => lab.askConnection('dns-a', question)
    await eventually('the first address', isNow('10.96.77.1', inConnection), 15_000)
    await kubectl('delete', 'service', 'again', '--namespace', NAMESPACE)
    await apply([make('10.96.77.2')])
    await eventually('the new address in a Pod', isNow('10.96.77.2', inPod), 15_000)
    await eventually('the new address in the connection', isNow('10.96.77.2', inConnection), 3000)
  })

  test('tpx dns trace shows the search list, who was asked, the answer, and the cache', async () => {
    const trace = async (...words: string[]) =>
      (await tpxOk(['dns', 'trace', ...words, '--output', 'json'])).json as DnsTrace & { next?: string }
    const web = await trace('web', '--flush')
    assert.equal(web.found, `web.${NAMESPACE}.svc.cluster.local`)
    assert.deepEqual([web.nameserver, web.ndots, web.steps.length, web.steps[0]?.isCached], ['198.18.0.1', 5, 1, false])
    assert.deepEqual([web.steps[0]?.asked[0]?.from, web.records.length], ['cluster', 1])
    assert.equal((await trace('web')).steps[0]?.isCached, true)
    const none = await trace('no-such-name')
    assert.deepEqual([none.found, none.rcode, none.steps.length], [null, 'NXDOMAIN', 4])
    assert.match(none.next ?? '', /kubectl get services/)
    assert.equal((await trace('_http._tcp.web', '--type', 'SRV')).records[0]?.type, 'SRV')
    const ptr = await trace(await address('service', 'web', '.spec.clusterIP'))
    assert.equal(ptr.records[0]?.data, `web.${NAMESPACE}.svc.cluster.local`)
    const { stdout } = await tpxOk(['dns', 'trace', `www.${PUBLIC}`])
    assert.match(stdout, new RegExp(`4\\. www\\.${PUBLIC}: NOERROR.*\n.*\n +asked host: NOERROR in [0-9.]+ ms`))
    assert.equal((await tpx(['dns', 'trace', 'web', '--type', 'NOPE'])).status, 2)
  })

  test('without a link, names of the cluster fail with the cause, and public ones come from the name servers of the engine', async () => {
    const { json } = await tpxOk(['status', '--output', 'json'])
    killLink((json as { connections: { link: { pid: number } }[] }).connections[0]!.link.pid)
    const since = lab.nameServer.asked.length
    // Nobody has asked for it before: nothing may come from the cache.
    const inCluster = ask(`away.${NAMESPACE}.svc.cluster.local`)
    const { answers } = await lab.askConnection('dns-a', [inCluster, ask(`only4.${PUBLIC}`), ask(`only4.${PUBLIC}`, { transport: 'libc' })])
    assert.deepEqual([answers[0]?.rcode, answers[1]?.records], ['SERVFAIL', [`only4.${PUBLIC} A 198.51.100.11`]])
    assert.match(answers[0]?.extendedError ?? '', /^22 ./)
    // At first it is known only that the session is lost; then why, and what to do about it.
    const cause = async () => (await lab.askConnection('dns-a', [inCluster])).answers[0]?.extendedError
    await eventually('the cause', async () => /^22 .*link process on the host.*tpx/.test((await cause()) ?? ''), 8000)
    assert.deepEqual(answers[2]?.records, ['198.51.100.11'])
    assert.ok(lab.nameServer.asked.slice(since).some(({ name }) => name === `only4.${PUBLIC}`))
    await tpxOk(['status'], { env: lab.env })
    const isBack = async () => (await lab.askConnection('dns-a', [ask('web', { search: true })])).answers[0]?.rcode === 'NOERROR'
    await eventually('names of the cluster', isBack, 10_000)
    await disconnect('dns-a')
  })
})

describe('a connection on a user-defined network', () => {
  const network = 'tpx-dns-test'
  const sibling = 'tpx-dns-sibling'
  const questions = [
    ask(sibling, { search: true }),
    ask('sibling-alias', { transport: 'tcp' }),
    ask('sibling-alias', { transport: 'libc' }),
  ]
  let ip = ''
  const clear = async (): Promise<void> => {
    await tpx(['quit', '--all'])
    await docker('rm', '--force', sibling).catch(() => {})
    await docker('network', 'rm', network).catch(() => {})
  }
  before(async () => {
    await clear() // of a run that was killed
    await docker('network', 'create', network)
    const entry = ['--network-alias', 'sibling-alias', '--entrypoint', 'sleep', tunnelImage(), '600']
    await docker('run', '--detach', '--rm', '--name', sibling, '--network', network, ...entry)
    ip = (await docker('inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', sibling)).trim()
  })
  after(clear)
  const siblingAnswers = (): string[] => [`NOERROR ${sibling} A ${ip}`, `NOERROR sibling-alias A ${ip}`, `NOERROR ${ip}`]

  test('tpx connect --network finds siblings, and the cluster as a Pod does', async () => {
    await connect(lab, 'dns-net', '--network', network)
    await connect(lab, 'dns-net', '--network', network)
    assert.equal((await tpx(['connect', '--name', 'dns-net', '--namespace', NAMESPACE, '--network', 'tpx-test'])).status, 4)
    const siblings = await lab.askConnection('dns-net', questions)
    assert.deepEqual(found(siblings), siblingAnswers())
    const pod = await lab.askPod('asker', [])
    assert.deepEqual(siblings.resolvConf, { ...pod.resolvConf, nameserver: '127.0.0.11' })
    // Of a name without dots that nobody knows, Docker's resolver says "no data".
    const rows = (await clusterRows('cluster.local')).filter(({ name }) => name !== 'no-such-name')
    await compare(rows, 'dns-net', 'asker')
  })

  test('names that nobody knows do not go round in circles between Docker, the tunnel and the host', async () => {
    const since = lab.nameServer.asked.length
    const names = [`circle.${PUBLIC}`, `circle.${NAMESPACE}.svc.cluster.local`, 'circle.no-such-namespace', 'circle']
    const { answers } = await lab.askConnection(
      'dns-net',
      names.map((name) => ask(name)),
    )
    for (const { ms, owner, rcode } of answers) assert.ok(ms < 2000 && rcode !== 'SERVFAIL', `${owner}: ${rcode} after ${ms} ms`)
    const asked = lab.nameServer.asked.slice(since).map(({ name }) => name)
    assert.ok(asked.includes(names[0]!))
    for (const name of names) assert.ok(asked.filter((one) => one === name).length <= 2, asked.join())
  })

  test("tpx dns trace tells Docker's answers from the tunnel's", async () => {
    const trace = async (name: string) => (await tpxOk(['dns', 'trace', name, '--use', 'dns-net', '--output', 'json'])).json as DnsTrace
    const ofSibling = await trace(sibling)
    assert.deepEqual(
      ofSibling.steps.map(({ answeredBy }) => answeredBy),
      ['tunnel', 'tunnel', 'tunnel', 'docker'],
    )
    assert.deepEqual([ofSibling.nameserver, ofSibling.records[0]?.data], ['127.0.0.11', ip])
    const ofService = await trace('web')
    assert.deepEqual([ofService.steps[0]?.answeredBy, ofService.records.length], ['tunnel', 1])
    await disconnect('dns-net')
  })

  test('docker network connect to a running connection brings the siblings, and disconnect harms nothing', async () => {
    await connect(lab, 'dns-later')
    await docker('network', 'connect', network, 'tpx-dns-later-holder')
    assert.deepEqual(found(await lab.askConnection('dns-later', questions)), siblingAnswers())
    const cluster = [ask('web', { search: true }), ask(`www.${PUBLIC}`), ask('db-0.db', { transport: 'libc' })]
    const [pod, connected] = [await lab.askPod('asker', cluster), await lab.askConnection('dns-later', cluster)]
    assert.deepEqual(found(connected), found(pod))
    await docker('network', 'disconnect', network, 'tpx-dns-later-holder')
    assert.deepEqual(found(await lab.askConnection('dns-later', cluster)), found(pod))
    await disconnect('dns-later')
  })

  test('a network that is not there is an error before anything is made', async () => {
    const { json, status } = await tpx([
      'connect',
      '--name',
      'dns-none',
      '--namespace',
      NAMESPACE,
      '--network',
      'no-such',
      '--output',
      'json',
    ])
    assert.deepEqual([status, (json as { error: { code: string } }).error.code], [2, 'NETWORK_NOT_FOUND'])
    assert.equal(await docker('ps', '--all', '--quiet', '--filter', 'name=tpx-dns-none'), '')
  })
})

test('config.yml maps names to a Service, a public name and an address, and takes names away', async () => {
  const mappings = [
    { aliasFor: `web.${NAMESPACE}`, name: 'db.example.com' },
    { aliasFor: `www.${PUBLIC}`, name: 'site' },
    { aliasFor: '192.0.2.7', name: 'fixed.example.com' },
  ]
  writeFileSync(lab.configFile, JSON.stringify({ dns: { excludes: ['ext'], mappings } }))
  await connect(lab, 'dns-map')
  writeFileSync(lab.configFile, '')
  const ip = await address('service', 'web', '.spec.clusterIP')
  const asked = [
    ask('db.example.com', { transport: 'libc' }),
    ask('db.example.com', { transport: 'tcp' }),
    ask('site', { transport: 'libc' }),
    ask('fixed.example.com', { transport: 'libc' }),
    ask('ext', { transport: 'libc' }),
    ask(`ext.${NAMESPACE}.svc.cluster.local`),
  ]
  const answers = await lab.askConnection('dns-map', asked)
  assert.deepEqual(found(answers), [
    `NOERROR ${ip}`,
    `NOERROR db.example.com CNAME web.${NAMESPACE} | web.${NAMESPACE} A ${ip}`,
    'NOERROR 198.51.100.10 | 2001:db8::10',
    'NOERROR 192.0.2.7',
    'ENOTFOUND',
    'NXDOMAIN',
  ])
  assert.equal(answers.answers.at(-1)?.extendedError, '17 excluded by dns.excludes')
  await disconnect('dns-map')
})

describe('a cluster with a domain of its own', () => {
  after(async () => {
    await tpx(['quit', '--all'])
    await tpx(['helm', 'uninstall'])
  })
  const table = async (connection: string): Promise<void> => {
    const { connected, pod } = await compare(await clusterRows(CUSTOM_DOMAIN), connection, 'asker-corp')
    assert.deepEqual(connected.resolvConf.search, pod.resolvConf.search)
    assert.ok(connected.answers.filter(({ records }) => records.length > 0).length >= 36)
  }

  test("the chart's clusterDomain is known before the containers are made", async () => {
    await tpxOk(['helm', 'upgrade', '--set', `clusterDomain=${CUSTOM_DOMAIN}`])
    const { stderr } = await connect(lab, 'dns-corp')
    assert.doesNotMatch(stderr, /anew/)
    await table('dns-corp')
    await disconnect('dns-corp')
  })

  test("a domain that the traffic-manager found in its Pod's resolv.conf costs one more start", async () => {
    await tpxOk(['helm', 'uninstall'])
    await tpxOk(['helm', 'install'])
    const spec = { template: { spec: { dnsConfig: CORP_DNS, dnsPolicy: 'None' } } }
    await kubectl('patch', 'deployment', 'traffic-manager', '--namespace', 'ambassador', '--patch', JSON.stringify({ spec }))
    await kubectl('rollout', 'status', 'deployment/traffic-manager', '--namespace', 'ambassador', '--timeout=60s')
    const { stderr } = await connect(lab, 'dns-corp')
    assert.match(stderr, /The domain of this cluster is "corp.example"/)
    await table('dns-corp')
    await disconnect('dns-corp')
  })
})
