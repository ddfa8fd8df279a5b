import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { ConnectionId } from '../../../src/wire/connection-id.ts'
import { decodeTunnelPayload, encodeTunnelPayload, type TunnelPayload } from '../../../src/wire/tunnel-message.ts'

const connectionId: ConnectionId = {
  destination: { address: '10.96.0.10', port: 80 },
  protocol: 'tcp',
  source: { address: '10.1.2.3', port: 40000 },
}

const streamInfo: TunnelPayload = {
  kind: 'streamInfo',
  version: 2,
  roundtripLatencyNs: 2_000_000_000n,
  dialTimeoutNs: 3_000_000_000n,
  connectionId,
  sessionId: 'abc',
}

// Golden bytes: made by Telepresence 2.27.4's own message code.
const golden: [TunnelPayload, string][] = [
  // code 1, version 2, 2 s, 3 s, 13 bytes of ConnID, 3 bytes of session id
  [streamInfo, '01 02 80a8d6b907 80bcc1960b 0d 0a0102039c400a60000a005006 03 616263'.replaceAll(' ', '')],
  [{ kind: 'streamOk', version: 2 }, '0202'],
  [{ kind: 'session', sessionId: 'abc' }, '08616263'],
  [{ kind: 'dialOk' }, '04'],
]

const plain = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(fields, { noNullPrototype: true })
const bare = fc.constantFrom('closeSend' as const, 'dialOk' as const, 'dialReject' as const, 'disconnect' as const, 'keepAlive' as const)
const payload: fc.Arbitrary<TunnelPayload> = fc.oneof(
  plain({ kind: fc.constant('normal' as const), data: fc.uint8Array().map((bytes) => Buffer.from(bytes)) }),
  plain({ kind: bare }),
  plain({ kind: fc.constant('session' as const), sessionId: fc.string({ unit: 'grapheme' }) }),
  plain({ kind: fc.constant('streamOk' as const), version: fc.nat() }),
  plain({
    kind: fc.constant('streamInfo' as const),
    version: fc.nat(),
    roundtripLatencyNs: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    dialTimeoutNs: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    connectionId: fc.constant(connectionId),
    sessionId: fc.string({ unit: 'grapheme' }),
  }),
)

describe('tunnel message', () => {
  for (const [value, hex] of golden) {
    it(`encodeTunnelPayload() writes Telepresence's bytes of ${value.kind}`, () => {
      assert.equal(encodeTunnelPayload(value).toString('hex'), hex)
      assert.deepEqual(decodeTunnelPayload(Buffer.from(hex, 'hex')), value)
    })
  }

  it('decodeTunnelPayload() gives back what was encoded', () => {
    fc.assert(fc.property(payload, (value) => assert.deepEqual(decodeTunnelPayload(encodeTunnelPayload(value)), value)))
  })

  it('encodeTunnelPayload() never gives an empty payload', () => {
    fc.assert(fc.property(payload, (value) => assert.ok(encodeTunnelPayload(value).length > 0)))
  })

  it('decodeTunnelPayload() rejects a stream info that is cut short anywhere', () => {
    const whole = encodeTunnelPayload(streamInfo)
    for (let length = 1; length < whole.length; length++) {
      assert.throws(() => decodeTunnelPayload(whole.subarray(0, length)), { code: 'USAGE' })
    }
  })

  it('decodeTunnelPayload() rejects an empty payload and an unknown code', () => {
    assert.throws(() => decodeTunnelPayload(new Uint8Array()), { code: 'USAGE' })
    assert.throws(() => decodeTunnelPayload(Buffer.of(9)), { code: 'USAGE' })
  })
})
