import assert from 'node:assert/strict'
import { test } from 'node:test'
import { channelReader } from '../../../src/kube/port-forward/plain-web-socket.ts'

const target = { namespace: 'ns', pod: 'pod', port: 80 }

test('channelReader() takes channel and port off, also when the port comes with data or in pieces', () => {
  const whole = channelReader(target)
  assert.equal(whole(Buffer.from([0, 80, 0]))?.length, 0)
  assert.equal(whole(Buffer.from([1, 80, 0])), undefined)
  assert.equal(whole(Buffer.from('\0abc'))?.toString(), 'abc')
  const joined = channelReader(target)
  assert.equal(joined(Buffer.from([0, 80, 0, 65]))?.toString(), 'A')
  const pieces = channelReader(target)
  pieces(Buffer.from([0, 80]))
  assert.equal(pieces(Buffer.from([0, 0, 66]))?.toString(), 'B')
})

test('channelReader() throws what the error channel says', () => {
  const read = channelReader(target)
  read(Buffer.from([1, 80, 0]))
  assert.throws(() => read(Buffer.from('\u0001dial: connection refused')), { code: 'PORT_FORWARD_FAILED', message: /connection refused/ })
})
