import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import {
  InterceptDispositionType as Disposition,
  InterceptInfoSchema,
  type InterceptSpecSchema,
} from '../../../src/wire/generated/manager_pb.ts'
import { OUTBOUND_MECHANISM, STREAM_KEY } from '../../../src/wire/versions.ts'
import { review, understand } from '../../../src/traffic-agent/intercept-review.ts'
import { parseSettings } from '../../../src/traffic-agent/settings.ts'
import { agentEnvironment } from './fake-manager.ts'

const settings = parseSettings(agentEnvironment())
type Spec = MessageInitShape<typeof InterceptSpecSchema>

function intercept(spec: Partial<Spec> = {}, disposition: Disposition = Disposition.WAITING, key = 'key') {
  const whole = {
    agent: 'web',
    containerName: 'app',
    containerPort: 8080,
    namespace: 'default',
    targetHost: '127.0.0.1',
    targetPort: 9090,
    ...spec,
  } as Spec
  return create(InterceptInfoSchema, { disposition, id: 'alias:web', metadata: key ? { [STREAM_KEY]: key } : {}, spec: whole })
}

test('review() accepts a port of ours, with environment, mounts and addresses', () => {
  const verdict = review(intercept(), settings)
  assert.equal(verdict.disposition, Disposition.ACTIVE)
  assert.deepEqual([verdict.podIp, verdict.sftpPort, verdict.mountPoint], ['127.0.0.1', 9900, '/'])
  assert.deepEqual(verdict.mounts, { '/etc/web': 1, '/data': 0 })
  assert.equal(verdict.environment?.['GREETING'], 'hello')
})

test('review() refuses with a reason what this agent cannot do', () => {
  for (const [given, reason] of [
    [intercept({ containerPort: 1 }), /Port 1 of container "app"/],
    [intercept({ containerName: 'other' }), /container "other"/],
    [intercept({ wiretap: true }), /no wiretap/],
    [intercept({ headerFilters: { a: 'b' } }), /HTTP filters/],
    [intercept({ pathFilters: ['/x'] }), /HTTP filters/],
    [intercept({}, Disposition.WAITING, ''), /stream key/],
  ] as const) {
    const verdict = review(given, settings)
    assert.equal(verdict.disposition, Disposition.AGENT_ERROR)
    assert.match(verdict.message ?? '', reason)
    assert.equal(verdict.environment, undefined)
  }
})

test('understand() keeps to our workload and sorts by disposition', () => {
  const { attachments, removed, waiting } = understand(
    [
      intercept({}, Disposition.ACTIVE, 'active'),
      intercept({}, Disposition.WAITING, 'waiting'),
      intercept({}, Disposition.REMOVED, 'removed'),
      intercept({}, Disposition.AGENT_ERROR, 'error'),
      intercept({ containerPort: 1 }, Disposition.ACTIVE, 'unknown port'),
      intercept({ agent: 'other' }, Disposition.ACTIVE, 'other workload'),
      intercept({ namespace: 'other' }, Disposition.ACTIVE, 'other namespace'),
      intercept({ containerName: '', targetHost: '', targetPort: 0 }, Disposition.ACTIVE, 'defaults'),
    ],
    settings,
  )
  assert.deepEqual(
    attachments.map(({ key }) => key),
    ['active', 'waiting', 'defaults'],
  )
  assert.deepEqual([...removed], ['removed'])
  assert.deepEqual(
    waiting.map(({ metadata }) => metadata[STREAM_KEY]),
    ['waiting'],
  )
  assert.deepEqual(attachments[2], {
    container: 'app',
    containerPort: 8080,
    id: 'alias:web',
    key: 'defaults',
    kind: 'intercept',
    targetHost: '127.0.0.1',
    targetPort: 8080,
  })
})

test('understand() takes the right to have this Pod dial for what it is: no port, no verdict', () => {
  const grant = intercept({ containerPort: 0, mechanism: OUTBOUND_MECHANISM }, Disposition.ACTIVE, 'grant')
  const keyless = intercept({ containerPort: 0, mechanism: OUTBOUND_MECHANISM }, Disposition.ACTIVE, '')
  const { attachments, waiting } = understand([grant, keyless], settings)
  assert.deepEqual(
    attachments.map(({ container, containerPort, key, kind }) => [container, containerPort, key, kind]),
    [['', 0, 'grant', 'outbound']],
  )
  assert.deepEqual(waiting, [])
})
