import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as law, property, stringMatching } from 'fast-check'
import { TpxError } from '../../../src/base/error.ts'
import { VERSION } from '../../../src/base/version.ts'
import { agentConfigOf, inject, type InjectConfig } from '../../../src/traffic-manager/inject.ts'
import type { Container, Pod, Service } from '../../../src/traffic-manager/kubernetes-objects.ts'
import { applyJsonPatch } from '../../helpers/apply-json-patch.ts'
import { aContainer, AGENT, aPod, aService, webService } from '../../helpers/pods.ts'

const TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount'

function config(services: Service[] = [webService()]): InjectConfig {
  return { agent: AGENT, namespace: 'shop', services, workload: 'web-app', workloadKind: 'Deployment' }
}

function injected(pod: Pod, services?: Service[]): { agent: Container; config: NonNullable<ReturnType<typeof agentConfigOf>>; pod: Pod } {
  const result = applyJsonPatch(pod, inject(pod, config(services))) as Pod
  const agent = result.spec?.initContainers?.find(({ name }) => name === 'traffic-agent')
  const agentConfig = agentConfigOf(result)
  assert.ok(agent && agentConfig)
  return { agent, config: agentConfig, pod: result }
}

test('inject() moves the name of the port to a native sidecar and keeps the number of the app', () => {
  const { agent, config, pod } = injected(aPod())
  assert.equal(agent.restartPolicy, 'Always')
  assert.deepEqual(agent.args, ['agent'])
  assert.equal(agent.image, 'tpx/traffic:1')
  assert.equal(agent.imagePullPolicy, 'Never')
  assert.deepEqual(agent.ports, [{ containerPort: 9901, name: 'http', protocol: 'TCP' }])
  assert.deepEqual(pod.spec?.containers[0]?.ports, [{ name: 'tpx-http', containerPort: 8080, protocol: 'TCP' }])
  assert.deepEqual(pod.metadata?.annotations, { 'tpx.dev/injected': VERSION })
  assert.deepEqual(config, {
    apiPort: 9900,
    containers: [
      {
        environmentPrefix: 'TPXA_0_',
        mounts: [],
        name: 'web',
        ports: [{ agentPort: 9901, containerPort: 8080, name: 'http', protocol: 'TCP' }],
      },
    ],
    logLevel: 'info',
    managerCa: AGENT.managerCa,
    managerHost: 'traffic-manager.ambassador.svc',
    managerPort: 8082,
    namespace: 'shop',
    workload: 'web-app',
    workloadKind: 'Deployment',
  })
})

test('inject() does nothing when the Pod has a traffic-agent already', () => {
  const { pod } = injected(aPod())
  assert.deepEqual(inject(pod, config()), [])
  assert.deepEqual(inject(aPod({ containers: [aContainer(), { name: 'traffic-agent' }] }), config()), [])
})

test('inject() puts the sidecar after the init containers that are there', () => {
  const { pod } = injected(aPod({ initContainers: [{ name: 'seed' }] }))
  assert.deepEqual(
    pod.spec?.initContainers?.map(({ name }) => name),
    ['seed', 'traffic-agent'],
  )
})

test('inject() keeps the annotations that are there', () => {
  const { pod } = injected(aPod({}, { annotations: { a: 'b' }, labels: { app: 'web-app' } }))
  assert.deepEqual(pod.metadata?.annotations, { a: 'b', 'tpx.dev/injected': VERSION })
})

test('inject() passes what PodSecurity "restricted" asks for', () => {
  const { agent } = injected(aPod())
  assert.deepEqual(agent.securityContext, {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    runAsUser: 7439,
    seccompProfile: { type: 'RuntimeDefault' },
  })
})

for (const [title, spec, user, group] of [
  [
    'the container names one',
    { containers: [aContainer({ securityContext: { runAsUser: 1000, runAsGroup: 2000 } })], securityContext: { runAsUser: 1 } },
    1000,
    2000,
  ],
  ['the Pod names one', { securityContext: { runAsUser: 10_001 } }, 10_001, undefined],
  ['it is root', { securityContext: { runAsUser: 0 } }, 7439, undefined],
  [
    'the second container has the port',
    { containers: [{ name: 'other', securityContext: { runAsUser: 5 } }, aContainer({ securityContext: { runAsUser: 6 } })] },
    6,
    undefined,
  ],
] as const) {
  test(`inject() takes user ${user} for the sidecar when ${title}`, () => {
    const { agent } = injected(aPod(structuredClone(spec) as Partial<NonNullable<Pod['spec']>>))
    assert.equal(agent.securityContext?.runAsUser, user)
    assert.equal(agent.securityContext?.runAsGroup, group)
    assert.equal(agent.securityContext?.runAsNonRoot, true)
  })
}

test('inject() rewrites probes and hooks that name the port to its number, and no others', () => {
  const { pod } = injected(
    aPod({
      containers: [
        aContainer({
          lifecycle: { preStop: { httpGet: { path: '/bye', port: 'http' } } },
          livenessProbe: { tcpSocket: { port: 'http' } },
          readinessProbe: { httpGet: { path: '/', port: 'http' } },
          startupProbe: { httpGet: { path: '/', port: 8080 } },
        }),
      ],
    }),
  )
  const [web] = pod.spec?.containers ?? []
  assert.equal(web?.readinessProbe?.httpGet?.port, 8080)
  assert.equal(web?.livenessProbe?.tcpSocket?.port, 8080)
  assert.equal(web?.lifecycle?.preStop?.httpGet?.port, 8080)
  assert.equal(web?.startupProbe?.httpGet?.port, 8080)
})

for (const [title, service] of [
  ['refers to it by number', aService('web-app', [{ port: 80, targetPort: 8080 }])],
  ['is headless', aService('web-app', [{ port: 80, targetPort: 'http' }], { clusterIP: 'None' })],
  ['selects other Pods', aService('web-app', [{ port: 80, targetPort: 'http' }], { selector: { app: 'other' } })],
  ['has no selector', aService('web-app', [{ port: 80, targetPort: 'http' }], { selector: {} })],
  ['means UDP', aService('web-app', [{ port: 80, protocol: 'UDP', targetPort: 'http' }])],
] as const) {
  test(`inject() leaves a port to the app when the Service ${title}`, () => {
    const { agent, pod } = injected(aPod(), [service])
    assert.deepEqual(agent.ports, [])
    assert.equal(pod.spec?.containers[0]?.ports?.[0]?.name, 'http')
  })
}

test('inject() takes a name from every container that has it, because app containers are looked up before the sidecar', () => {
  const second = aContainer({
    name: 'second',
    ports: [{ name: 'http', containerPort: 8090 }],
    readinessProbe: { tcpSocket: { port: 'http' } },
  })
  const { agent, config, pod } = injected(aPod({ containers: [aContainer(), second] }))
  assert.deepEqual(agent.ports, [{ containerPort: 9901, name: 'http', protocol: 'TCP' }])
  assert.deepEqual(
    pod.spec?.containers.map(({ ports }) => ports?.[0]?.name),
    ['tpx-http', 'tpx1-http'],
  )
  assert.equal(pod.spec?.containers[1]?.readinessProbe?.tcpSocket?.port, 8090)
  assert.deepEqual(
    config.containers.map(({ ports }) => ports.map(({ containerPort }) => containerPort)),
    [[8080], []],
  )
})

test('inject() shortens new names to 15 characters and keeps them unique', () => {
  const ports = [
    { name: 'management-api1', containerPort: 1 },
    { name: 'management-api2', containerPort: 2 },
    { name: 'tpx-management', containerPort: 3 },
  ]
  const service = aService('web-app', [
    { name: 'a', port: 1, targetPort: 'management-api1' },
    { name: 'b', port: 2, targetPort: 'management-api2' },
  ])
  const { pod } = injected(aPod({ containers: [aContainer({ ports })] }), [service])
  const names = pod.spec?.containers[0]?.ports?.map(({ name }) => name ?? '') ?? []
  assert.deepEqual(names, ['tpx1-management', 'tpx2-management', 'tpx-management'])
  assert.equal(new Set(names).size, 3)
  for (const name of names) assert.match(name, /^(?=.{1,15}$)[a-z0-9]+(-[a-z0-9]+)*$/)
})

test('inject() uses port numbers that no container declares', () => {
  const ports = [
    { name: 'http', containerPort: 9900 },
    { name: 'admin', containerPort: 9902 },
  ]
  const { agent, config } = injected(aPod({ containers: [aContainer({ ports })] }))
  assert.equal(config.apiPort, 9901)
  assert.deepEqual(agent.ports, [{ containerPort: 9903, name: 'http', protocol: 'TCP' }])
})

test('inject() copies env and envFrom of every container under its own prefix', () => {
  const web = aContainer({
    env: [
      { name: 'NAME', value: 'web' },
      { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
    ],
    envFrom: [{ configMapRef: { name: 'c' } }, { prefix: 'P_', secretRef: { name: 's' } }],
  })
  const { agent } = injected(aPod({ containers: [web, { name: 'log', env: [{ name: 'NAME', value: 'log' }] }] }))
  assert.deepEqual(agent.env?.slice(0, 4), [
    { name: 'TPXA_0_NAME', value: 'web' },
    { name: 'TPXA_0_PASSWORD', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
    { name: 'TPXA_0_CPU', valueFrom: { resourceFieldRef: { containerName: 'web', resource: 'limits.cpu' } } },
    { name: 'TPXA_1_NAME', value: 'log' },
  ])
  assert.deepEqual(agent.envFrom, [
    { configMapRef: { name: 'c' }, prefix: 'TPXA_0_' },
    { prefix: 'TPXA_0_P_', secretRef: { name: 's' } },
  ])
})

for (const [title, value, expected, envFrom] of [
  ['an earlier variable', '$(HOST):1', '$(TPXA_0_HOST):1', false],
  ['a later variable', '$(LATER)', '$(LATER)', false],
  ['an escaped reference', '$$(HOST)', '$$(HOST)', false],
  ['an unknown name', '$(NOBODY)', '$(NOBODY)', false],
  ['a name that an envFrom may bring', 'x$(ANY)y', 'x$(TPXA_0_ANY)y', true],
  [
    'a variable of a Service',
    '$(WEB_APP_SERVICE_HOST):$(KUBERNETES_PORT_443_TCP_PORT)',
    '$(WEB_APP_SERVICE_HOST):$(KUBERNETES_PORT_443_TCP_PORT)',
    true,
  ],
  ['no reference', 'a$b$(c', 'a$b$(c', true],
] as const) {
  test(`inject() gives the value "${expected}" for ${title}`, () => {
    const env = [
      { name: 'HOST', value: 'h' },
      { name: 'URL', value },
      { name: 'LATER', value: 'l' },
    ]
    const { agent } = injected(
      aPod({ containers: [aContainer({ env, ...(envFrom ? { envFrom: [{ configMapRef: { name: 'c' } }] } : {}) })] }),
    )
    assert.equal(agent.env?.find(({ name }) => name === 'TPXA_0_URL')?.value, expected)
  })
}

test('inject() mounts the volumes of every container below its name and tells the agent', () => {
  const { agent, config } = injected(
    aPod({
      containers: [
        aContainer({
          volumeMounts: [
            { name: 'config', mountPath: '/etc/web/' },
            { name: 'data', mountPath: 'data', subPath: 'a' },
            { name: 'data', mountPath: '/logs', readOnly: true, subPathExpr: '$(NAME)/x' },
            { name: 'shared', mountPath: '/shared', mountPropagation: 'Bidirectional' },
          ],
          env: [{ name: 'NAME', value: 'n' }],
        }),
      ],
      volumes: [
        { name: 'config', configMap: { name: 'c' } },
        { name: 'data', emptyDir: {} },
        { name: 'shared', emptyDir: {} },
      ],
    }),
  )
  assert.deepEqual(agent.volumeMounts, [
    { name: 'config', mountPath: '/tpx/web/etc/web' },
    { name: 'data', mountPath: '/tpx/web/data', subPath: 'a' },
    { name: 'data', mountPath: '/tpx/web/logs', readOnly: true, subPathExpr: '$(TPXA_0_NAME)/x' },
    { name: 'shared', mountPath: '/tpx/web/shared', mountPropagation: 'HostToContainer' },
    { name: 'tpx-agent-token', mountPath: '/var/run/secrets/tpx.dev', readOnly: true },
  ])
  assert.deepEqual(config.containers[0]?.mounts, [
    { path: '/etc/web', readOnly: true, root: '/tpx/web/etc/web' },
    { path: '/data', readOnly: false, root: '/tpx/web/data' },
    { path: '/logs', readOnly: true, root: '/tpx/web/logs' },
    { path: '/shared', readOnly: false, root: '/tpx/web/shared' },
  ])
})

test('inject() mounts the API token once, at its own path, and exports it for every container that has it', () => {
  const token = { name: 'kube-api-access-x', mountPath: TOKEN_PATH, readOnly: true }
  const own = { name: 'own', mountPath: TOKEN_PATH, readOnly: true }
  const { agent, config } = injected(
    aPod({
      containers: [
        aContainer({ volumeMounts: [token] }),
        { name: 'second', volumeMounts: [token] },
        { name: 'third', volumeMounts: [own] },
      ],
      volumes: [
        { name: 'kube-api-access-x', projected: {} },
        { name: 'own', projected: {} },
      ],
    }),
  )
  assert.deepEqual(agent.volumeMounts?.slice(0, 2), [token, { ...own, mountPath: `/tpx/third${TOKEN_PATH}` }])
  assert.deepEqual(
    config.containers.map(({ mounts }) => mounts[0]?.root),
    [TOKEN_PATH, TOKEN_PATH, `/tpx/third${TOKEN_PATH}`],
  )
})

test('inject() adds a token for the manager alone', () => {
  const { pod } = injected(aPod())
  assert.deepEqual(pod.spec?.volumes, [
    {
      name: 'tpx-agent-token',
      projected: { sources: [{ serviceAccountToken: { audience: 'tpx-traffic-manager', expirationSeconds: 3600, path: 'token' } }] },
    },
  ])
})

test('inject() names the Pod to the agent through the downward API', () => {
  const { agent } = injected(aPod())
  assert.deepEqual(
    agent.env?.filter(({ valueFrom }) => valueFrom?.fieldRef).map(({ name, valueFrom }) => [name, valueFrom?.fieldRef?.fieldPath]),
    [
      ['TPX_POD_IP', 'status.podIP'],
      ['TPX_POD_NAME', 'metadata.name'],
      ['TPX_POD_UID', 'metadata.uid'],
      ['TPX_POD_NAMESPACE', 'metadata.namespace'],
    ],
  )
})

test('inject() limits memory always, and CPU only where all app containers have a limit', () => {
  const limited = aContainer({ resources: { limits: { cpu: '2', memory: '1Gi' } } })
  assert.deepEqual(injected(aPod()).agent.resources, { limits: { memory: '256Mi' }, requests: { cpu: '10m', memory: '64Mi' } })
  assert.deepEqual(injected(aPod({ containers: [limited] })).agent.resources?.limits, { cpu: '1', memory: '256Mi' })
  assert.deepEqual(injected(aPod({ containers: [limited, { name: 'b' }] })).agent.resources?.limits, { memory: '256Mi' })
})

test('inject() waits in postStart until the agent listens, so that no probe is ever relayed', () => {
  const { agent } = injected(aPod())
  assert.equal(agent.readinessProbe, undefined)
  assert.match(agent.lifecycle?.postStart?.exec?.command?.at(-1) ?? '', /9900,9901/)
})

for (const [title, spec] of [
  ['on the host network', { hostNetwork: true }],
  ['on Windows nodes', { os: { name: 'windows' } }],
] as const) {
  test(`inject() refuses Pods ${title}`, () => {
    assert.throws(
      () => inject(aPod(spec), config()),
      (error) => error instanceof TpxError && error.code === 'PORT_NOT_SUPPORTED',
    )
  })
}

test('inject() never lets Kubernetes expand a reference in the configuration of the agent', () => {
  law(
    property(stringMatching(/^[a-z$()A-Z]{1,12}$/), (path) => {
      const { agent, config } = injected(aPod({ containers: [aContainer({ volumeMounts: [{ name: 'v', mountPath: `/${path}` }] })] }))
      const value = agent.env?.find(({ name }) => name === 'TPX_AGENT_CONFIG')?.value ?? ''
      // The kubelet's expansion: "$$" is "$", and no "$(" is left outside of it.
      assert.doesNotMatch(value.replaceAll('$$', ''), /\$/)
      assert.equal(config.containers[0]?.mounts[0]?.path, `/${path}`)
    }),
  )
})
