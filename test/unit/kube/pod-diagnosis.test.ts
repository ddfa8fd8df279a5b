import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pod } from '../../../src/kube/objects.ts'
import { diagnosePod } from '../../../src/kube/pod-diagnosis.ts'

const base = { name: 'manager', ready: false, restartCount: 3 }
const cases: [what: string, status: Pod['status'], passes: boolean, text: RegExp][] = [
  [
    'an image that cannot be pulled',
    { containerStatuses: [{ ...base, state: { waiting: { message: 'no such host', reason: 'ErrImagePull' } } }] },
    false,
    /ErrImagePull: no such host/,
  ],
  [
    'a crash loop',
    {
      containerStatuses: [
        { ...base, lastState: { terminated: { exitCode: 1, reason: 'Error' } }, state: { waiting: { reason: 'CrashLoopBackOff' } } },
      ],
    },
    false,
    /CrashLoopBackOff \(ended with status 1, Error; 3 restarts\)/,
  ],
  [
    'a failed init container',
    { initContainerStatuses: [{ ...base, state: { terminated: { exitCode: 2 } } }] },
    false,
    /ended with status 2/,
  ],
  [
    'no room',
    { conditions: [{ message: '0/2 nodes', reason: 'Unschedulable', status: 'False', type: 'PodScheduled' }], phase: 'Pending' },
    false,
    /Unschedulable: 0\/2 nodes/,
  ],
  ['an eviction', { message: 'low on memory', phase: 'Failed', reason: 'Evicted' }, false, /Evicted: low on memory/],
  [
    'a start',
    { containerStatuses: [{ ...base, state: { waiting: { reason: 'ContainerCreating' } } }], phase: 'Pending' },
    true,
    /starting/,
  ],
  ['a probe to come', { containerStatuses: [{ ...base, state: { running: {} } }], phase: 'Running' }, true, /not ready yet/],
]
for (const [what, status, passes, text] of cases)
  test(`diagnosePod() ${passes ? 'waits for' : 'gives up on'} ${what}`, () => {
    const diagnosis = diagnosePod({ metadata: { name: 'x' }, spec: { containers: [] }, ...(status ? { status } : {}) })
    assert.equal(diagnosis.passes, passes)
    assert.match(diagnosis.text, text)
  })
