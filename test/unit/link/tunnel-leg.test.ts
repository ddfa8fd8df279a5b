import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TunnelLeg } from '../../../src/link/tunnel-leg.ts'

type Given = [isUp: boolean, state: 'absent' | 'dead' | 'running' | undefined, restartInMs: number | null]

const rows: [Given, string, RegExp?, string?][] = [
  [[true, 'running', null], 'up'],
  [[true, 'dead', 100], 'up'],
  [[false, 'running', null], 'connecting', /has not called yet/, 'waiting for it'],
  [[false, 'dead', 1500], 'down', /ended/, 'starting it again in 1.5 s'],
  [[false, 'dead', 0], 'down', /ended/, 'starting it again'],
  [[false, 'absent', null], 'down', /no tunnel container "t"/],
  [[false, undefined, null], 'connecting', /not told yet/],
]
for (const [[isUp, state, restartInMs], expected, detail, doing] of rows)
  test(`the tunnel's leg is ${expected} when its stream is ${isUp ? 'there' : 'away'} and its container ${state}`, () => {
    const leg = new TunnelLeg({ container: 't', control: { isUp }, guardian: { tunnel: { restartInMs, state } } }).leg()
    assert.equal(leg.state, expected)
    if (detail) assert.match(leg.detail ?? '', detail)
    assert.equal(leg.doing, doing)
  })
