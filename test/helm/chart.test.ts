// The real Helm as the judge: it accepts the chart, and our renderer makes of it what Helm does.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { TpxError } from '../../src/base/error.ts'
import { type KubernetesObject, loadChart, renderChart } from '../../src/kube/chart/chart.ts'
import type { ChartMap } from '../../src/kube/chart/chart-value.ts'
import { formatYaml } from '../../src/kube/chart/helm-yaml.ts'
import { renderTemplates } from '../../src/kube/chart/template.ts'
import { completeValues, parseValues, userValues } from '../../src/kube/chart/values.ts'

const CHART = 'charts/tpx'
const HELM = 'test/helm/helm'
const scratch = mkdtempSync(join(tmpdir(), 'tpx-helm-test-'))
after(() => rmSync(scratch, { recursive: true }))

function helm(...args: string[]): string {
  return execFileSync(HELM, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

function failureOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    return String((error as { stderr?: string }).stderr ?? error)
  }

  return ''
}

/** A chart in the scratch folder that holds one template. */
function makeChart(name: string, template: string, values = ''): string {
  const folder = join(scratch, name)
  mkdirSync(join(folder, 'templates'), { recursive: true })
  writeFileSync(join(folder, 'Chart.yaml'), `apiVersion: v2\nname: ${name}\nversion: 1.0.0\nappVersion: "2"\n`)
  writeFileSync(join(folder, 'values.yaml'), values)
  writeFileSync(join(folder, 'templates', 'x.yaml'), template)
  return folder
}

/** What the chart of one line `text: {{ toJson .Values | quote }}` says. */
function valuesIn(rendered: string): ChartMap {
  const { global: _, ...values } = JSON.parse((parse(rendered) as { text: string }).text) as ChartMap
  return values
}

const keyOf = ({ kind, metadata }: KubernetesObject): string => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
const sorted = (objects: KubernetesObject[]): KubernetesObject[] => objects.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))

test('helm lint finds nothing wrong with the chart', () => {
  assert.match(helm('lint', '--strict', CHART), /1 chart\(s\) linted, 0 chart\(s\) failed/)
})

const DEVELOPERS = '{kind: Group, name: developers}, {kind: ServiceAccount, name: ci, namespace: build}'
const VALUE_SETS: Record<string, { file?: string; set?: string[]; setString?: string[] }> = {
  'no values': {},
  'an image of a private registry': {
    set: [
      'image.registry=registry.example.com:5000/mirror',
      'image.tag=1.2.3',
      'image.imagePullSecrets[0].name=one,image.imagePullSecrets[1].name=two',
    ],
  },
  'an agent image of its own': {
    set: [
      'agent.image.registry=other',
      'agent.image.name=agent',
      'agent.image.pullPolicy=Always',
      'agent.logLevel=debug',
      'agent.resources.limits.memory=1Gi',
    ],
    setString: ['agent.image.tag=7'],
  },
  placement: {
    file: `
      nodeSelector: {kubernetes.io/os: linux}
      tolerations: [{key: dedicated, operator: Equal, value: "yes", effect: NoSchedule}, {operator: Exists}]
      affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: [b, "1"]}]}]}}}
      podAnnotations: {"example.com/number": "1", "example.com/text": "a: \\"b\\" # c\\nsecond line"}`,
  },
  'client permissions everywhere': { file: `clientRbac: {create: true, subjects: [${DEVELOPERS}]}` },
  'client permissions in two namespaces': { file: `clientRbac: {create: true, namespaces: [one, two], subjects: [${DEVELOPERS}]}` },
  'client configuration': {
    file: `
      client:
        dns: {lookupTimeout: 8s, includeSuffixes: [.corp.example.com], mappings: [{name: db, aliasFor: db.shared}, {name: v6, aliasFor: "fd00::1"}]}
        routing: {neverProxySubnets: [10.0.0.0/8, "fd00:2::/64"], autoResolveConflicts: false}
        timeouts: {intercept: 90, trafficManagerAPI: 1.5}`,
    set: ['client.intercept.defaultPort=3000', 'client.dns.excludes={a,b.c}'],
  },
  'a namespace selector': {
    file: 'namespaceSelector: {matchLabels: {team: shop}, matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [shop, "1"]}, {key: x, operator: Exists}]}',
  },
  'no client configuration': { file: 'client: null' },
  'resources and others': {
    file: 'resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: null, ephemeral-storage: 1Gi}}',
    set: ['logLevel=trace', 'clusterDomain=corp.example', 'image.pullPolicy=Never'],
  },
  'a default taken away': { set: ['resources=null', String.raw`podAnnotations.a\.b/c=d\,e`] },
}

for (const [title, { file, set = [], setString = [] }] of Object.entries(VALUE_SETS)) {
  test(`renderChart() makes the same objects as helm template: ${title}`, async () => {
    const files = file ? [join(scratch, 'values.yaml')] : []
    if (file) writeFileSync(files[0]!, file)
    const flags = [
      ...files.flatMap((path) => ['-f', path]),
      ...set.flatMap((text) => ['--set', text]),
      ...setString.flatMap((text) => ['--set-string', text]),
    ]
    const text = helm('template', 'traffic-manager', CHART, '--namespace', 'ambassador', ...flags)
    const theirs = parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject)
    const values = await userValues({ files, set, setString })
    const ours = renderChart(await loadChart(CHART), values, { name: 'traffic-manager', namespace: 'ambassador', service: 'Helm' })
    assert.deepEqual(sorted(ours), sorted(theirs))
  })
}

test('userValues() and completeValues() make the same values as Helm', async () => {
  const defaults = 'a: {b: 1, c: {d: x, e: z}}\nl: [1, 2, 3]\nv: 5\ns: text\n'
  const folder = makeChart('values', 'text: {{ toJson .Values | quote }}', defaults)
  const sets = [
    'a.b=2',
    'a.c=null',
    'a.c.d=null',
    'l[1]=x',
    'l={a,b}',
    'm.n.o=p',
    'm[0].x=1,m[1].x=2',
    'v=007',
    'v=0',
    'v=-3',
    'v=+3',
    'v=1.5',
    'v=true',
    'v=',
    String.raw`s=a\,b`,
    String.raw`x\.y=z`,
    's=a=b',
    's={1,true,x}',
    'v=99999999999',
    'a.f[0]=1,a.f[2]=3',
    String.raw`s=\{a\,b\}`,
    's=a b',
    'q.r="z"',
  ]
  for (const set of sets) {
    const theirs = valuesIn(helm('template', 'x', folder, '--set', set))
    assert.deepEqual(
      completeValues(parseValues(defaults, 'defaults'), await userValues({ files: [], set: [set], setString: [] })),
      theirs,
      set,
    )
    const theirStrings = valuesIn(helm('template', 'x', folder, '--set-string', set))
    const ours = completeValues(parseValues(defaults, 'defaults'), await userValues({ files: [], set: [], setString: [set] }))
    assert.deepEqual(ours, theirStrings, `--set-string ${set}`)
  }
})

const TORTURE = String.raw`
{{- define "t.name" -}}
  {{- printf "%s-%d%%" .name 3 -}}
{{- end }}
{{- define "all" }}
x: {{ include "t.name" .Values.m | quote }}  {{- /* gone */}}
y: {{- if and .Values.on (not .Values.off) }} yes{{ else if .Values.zero }} zero{{ else }} no{{ end }}
z: {{ .Values.empty | default "fallback" }} {{ default 5 .Values.zero }} {{ eq .Values.m.name "web" }} {{ ne 1 2 }}
{{- range $i, $v := .Values.list }}
- {{ $i }}: {{ $v | quote }} {{ $.Values.m.name }}
{{- else }}
none
{{- end }}
{{ range $k, $v := .Values.m }}{{ $k }}={{ $v }};{{ end }} {{- "" }}
{{ with .Values.m }}{{ .name }}{{ end }}{{ with .Values.empty }}x{{ else }}y{{ end }}
{{ $a := 1 }}{{ if true }}{{ $a = 2 }}{{ end }}a: {{ $a }}
m: {{- toYaml .Values.m | nindent 2 }}
n: {{ toJson .Values.m }} {{ (.Values.m).name | indent 3 }}
{{ "a\tb \"c\" ü" | quote }} {{ or .Values.zero "or" }} {{ and 1 "" | quote }}
{{- end }}`

test('parseValues() and toYaml read and write YAML as Helm does', () => {
  const values = `{a: y, b: yes, c: on, d: Off, e: N, f: 0777, g: 1_000, h: 0o17, j: 1:30, l: no, m: .5, o: 0x1F, q: TRUE, r: nope, z: 1.0,
    s: {a: "y", b: "on", c: "0777", d: "1:30", e: "2001-01-01", f: "null", g: "~", h: "1e3", i: "0x1", j: "", k: " x", l: "a: b", m: "#", n: "a\\nb", o: "-", p: "1_0"}}`
  const theirs = valuesIn(helm('template', 'x', makeChart('yaml', 'text: {{ toJson .Values | quote }}', values)))
  assert.deepEqual(parseValues(values, 'values.yaml'), theirs)
  const again = parseValues(formatYaml(theirs), 'again')
  assert.deepEqual(again, theirs)
})

test('renderTemplates() writes the same text as Helm, to the last blank', () => {
  const values = 'm: {name: web, other: "1"}\n"on": true\n"off": false\nzero: 0\nempty: ""\nlist: [a, "b c"]\n'
  // Helm parses what it renders as YAML, so the text travels as a string.
  const folder = makeChart('text', `${TORTURE}\ntext: {{ include "all" . | quote }}`, values)
  const theirs = (parse(helm('template', 'r', folder)) as { text: string }).text
  const [ours] = renderTemplates(
    [{ path: 'x.yaml', source: `${TORTURE}{{ include "all" . }}` }],
    { Values: parse(values) as ChartMap },
    () => true,
  )
  assert.equal(ours?.text, theirs)
})

test('Helm and tpx refuse the same values', async () => {
  const chart = await loadChart(CHART)
  const release = { name: 'r', namespace: 'n', service: 'tpx' }
  for (const set of [
    'imag.tag=1',
    'logLevel=loud',
    'image.tag=1',
    'clientRbac.create=true',
    'clientRbac.create=yes',
    'tolerations[0]=x',
    'client.dns.mapping={a}',
    'namespaceSelector.matchExpressions[0].key=a',
    'namespaceSelector.matchExpressions[0].key=a,namespaceSelector.matchExpressions[0].operator=Like',
    'client.dns.lookupTimeout=soon',
    'client.routing.alsoProxySubnets={10.0.0.0}',
    'client.intercept.defaultPort=70000',
    'client.timeouts.intercept=-1',
    'client.cluster.defaultManagerNamespace=x',
    'image=null,image.name=',
  ]) {
    const values = await userValues({ files: [], set: [set], setString: [] })
    assert.throws(
      () => renderChart(chart, values, release),
      (error) => error instanceof TpxError && error.code === 'CHART_INVALID',
      set,
    )
    assert.notEqual(
      failureOf(() => helm('template', 'r', CHART, '--set', set)),
      '',
      set,
    )
  }
})
