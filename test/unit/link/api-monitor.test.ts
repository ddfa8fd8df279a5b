import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { ApiMonitor } from '../../../src/link/api-monitor.ts'

const server = 'https://api.example:6443'

test('ApiMonitor tells that the API answers, and how fast; a young answer is not asked for again', async () => {
  let asked = 0
  const monitor = new ApiMonitor({ probe: async () => void asked++, server })
  const leg = await monitor.leg()
  assert.equal(leg.state, 'up')
  assert.ok((leg.roundTripMs ?? -1) >= 0 && (leg.lastProvenMs ?? -1) >= 0 && leg.since)
  await monitor.leg()
  assert.equal(asked, 1)
})

test('ApiMonitor tells why not, and what to do', async () => {
  const probe = (): Promise<void> => Promise.reject(new TpxError('KUBERNETES_UNREACHABLE', 'No way', { hint: 'Is the VPN up?' }))
  const { detail, lastProvenMs, next, state } = await new ApiMonitor({ probe, server }).leg()
  assert.deepEqual(
    { detail, lastProvenMs, next, state },
    { detail: 'No way', lastProvenMs: undefined, next: 'Is the VPN up?', state: 'down' },
  )
  const refuse = (): Promise<void> => Promise.reject(new TpxError('KUBERNETES_UNAUTHORIZED', 'Who are you', { hint: 'Sign in' }))
  assert.equal((await new ApiMonitor({ probe: refuse, server }).leg()).detail, 'The credentials are no longer accepted: Who are you')
})

test('ApiMonitor answers at once while the API is silent', async () => {
  const began = performance.now()
  const monitor = new ApiMonitor({ probe: () => new Promise(() => {}), server })
  const { detail, state } = await monitor.leg()
  assert.ok(performance.now() - began < 900)
  assert.equal(state, 'connecting')
  assert.match(detail ?? '', /^The Kubernetes API at "https:\/\/api\.example:6443" has not answered for 0\.[6-9] s$/)
})
