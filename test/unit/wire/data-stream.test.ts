import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type DataRequest, formatAuthority, formatRequest, parseAuthority, parseRequest } from '../../../src/wire/data-stream.ts'

it('parseAuthority() reverses formatAuthority(), brackets of IPv6 included', () => {
  for (const [host, port] of [
    ['10.0.0.1', 80],
    ['fd00::1', 443],
    ['web.default', 1],
  ] as const)
    assert.deepEqual(parseAuthority(formatAuthority(host, port)), { host, port })
})

it('parseRequest() reverses formatRequest()', () => {
  const requests: DataRequest[] = [
    { destination: { host: '10.0.0.1', port: 80 }, protocol: 'tcp', source: { host: 'fd00::2', port: 4711 } },
    { destination: { host: 'fd00::1', port: 53 }, protocol: 'udp', source: undefined },
  ]
  for (const request of requests) assert.deepEqual(parseRequest(formatRequest(request)), request)
})

it('parseRequest() knows what is no request', () => {
  for (const line of ['', 'tcp', 'quic 10.0.0.1:80']) assert.equal(parseRequest(line), undefined, line)
})
