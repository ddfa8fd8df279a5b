import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextStep } from '../../../src/session/dns-trace.ts'
import type { DnsTrace } from '../../../src/wire/control.ts'

const trace = (part: Partial<DnsTrace>): DnsTrace => ({
  found: null,
  ms: 1,
  name: 'web',
  nameserver: '198.18.0.1',
  ndots: 5,
  rcode: 'NXDOMAIN',
  records: [],
  search: [],
  steps: [],
  type: 'AAAA',
  ...part,
})

test('nextStep() says what to do by what came out', () => {
  assert.equal(nextStep(trace({ found: 'web', rcode: 'NOERROR' })), undefined)
  assert.match(nextStep(trace({})) ?? '', /kubectl get services/)
  assert.match(nextStep(trace({ rcode: 'NOERROR' })) ?? '', /no AAAA record/)
  assert.match(nextStep(trace({ rcode: 'SERVFAIL' })) ?? '', /tpx status/)
  const step = { answeredBy: 'tunnel', asked: [], isCached: false, ms: 1, name: 'web', rcode: 'NXDOMAIN', records: [] } as const
  assert.match(nextStep(trace({ steps: [{ ...step, asked: [], records: [], rule: 'excluded by dns.excludes' }] })) ?? '', /dns\.excludes/)
})
