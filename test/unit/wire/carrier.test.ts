import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CarrierTarget, checkAnswer, formatAnswer, formatTarget, parseTarget } from '../../../src/wire/carrier.ts'

const targets: CarrierTarget[] = [
  { kind: 'svc', name: 'traffic-manager', namespace: 'ambassador', port: 8081 },
  { kind: 'pod', name: 'web-0.with.dots', namespace: 'default', port: 9900 },
  { kind: 'control' },
  { id: 'a0'.repeat(16), kind: 'dial' },
  { kind: 'dns' },
]
for (const target of targets)
  test(`parseTarget() reverses formatTarget() for ${formatTarget(target).trim()}`, () => {
    const line = formatTarget(target)
    assert.ok(line.endsWith('\n'))
    assert.deepEqual(parseTarget(line.trimEnd()), target)
  })

for (const line of ['', 'x', 'dial ', 'dial x', 'a.b.node:1', 'a.b.pod:', 'a/b.c.pod:1', 'A.b.svc:1'])
  test(`parseTarget() throws for "${line}"`, () => {
    assert.throws(() => parseTarget(line), { code: 'CARRIER_FAILED' })
  })

test('checkAnswer() throws the error of the link with code and hint', () => {
  checkAnswer(formatAnswer({ ok: true }).trimEnd())
  const error = { code: 'KUBERNETES_FORBIDDEN', hint: 'Ask', message: 'No' } as const
  assert.throws(() => checkAnswer(formatAnswer({ error })), error)
})
