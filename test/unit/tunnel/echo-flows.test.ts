import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeIpPacket, parseIpPacket, PROTOCOL } from '../../../src/netstack/ip-packet.ts'
import { parseEchoRequest } from '../../../src/netstack/icmp.ts'
import type { Dialer, EchoHandlers } from '../../../src/tunnel/dialer.ts'
import { EchoFlows, MAX_ECHO_FLOWS } from '../../../src/tunnel/echo-flows.ts'

const FAMILIES = [
  { peer: Uint8Array.of(10, 244, 1, 5), self: Uint8Array.of(198, 18, 0, 1), text: '10.244.1.5', type: 8, unreachable: [3, 1] },
  {
    peer: Uint8Array.from(Buffer.from('fd960000000000000000000000000010', 'hex')),
    self: Uint8Array.from(Buffer.from('fd007470000000000000000000000001', 'hex')),
    text: 'fd96::10',
    type: 128,
    unreachable: [1, 3],
  },
]

/** Flows whose far side is the test. */
function aSet(family = FAMILIES[0]!) {
  const opened: { address: string; closed: number; handlers: EchoHandlers; sent: [number, string][] }[] = []
  const packets: Uint8Array[] = []
  const refused: string[] = []
  const dialer: Pick<Dialer, 'echo'> = {
    echo(address, handlers) {
      const flow = { address, closed: 0, handlers, sent: [] as [number, string][] }
      opened.push(flow)
      return { close: () => void flow.closed++, send: (sequence, data) => void flow.sent.push([sequence, Buffer.from(data).toString()]) }
    },
  }
  const flows = new EchoFlows({ dialer, onRefused: (code) => void refused.push(code), send: (packet) => void packets.push(packet) })
  const ping = (sequence: number, text = 'data', identifier = 77): void => {
    const payload = Buffer.concat([Buffer.from([family.type, 0, 0, 0, identifier >> 8, identifier & 255, 0, sequence]), Buffer.from(text)])
    const protocol = family.self.length === 16 ? PROTOCOL.icmpv6 : PROTOCOL.icmp
    const bytes = encodeIpPacket({ destination: family.peer, payload, protocol, source: family.self })
    const packet = parseIpPacket(bytes)
    const echo = packet && parseEchoRequest(packet)
    assert.ok(echo)
    flows.onRequest(packet, echo)
    // The reader's buffer is used again at once.
    bytes.fill(0)
  }
  const sent = (index: number) => {
    const packet = parseIpPacket(packets[index] ?? new Uint8Array())
    assert.ok(packet)
    return packet
  }
  return { flows, opened, packets, ping, refused, sent }
}

describe('EchoFlows', () => {
  for (const family of FAMILIES)
    it(`carries pings to ${family.text} and answers only what was answered`, () => {
      const { opened, packets, ping, sent } = aSet(family)
      ping(1, 'one')
      ping(2, 'two')
      assert.deepEqual(
        opened.map(({ address, sent: requests }) => [address, requests]),
        [
          [
            family.text,
            [
              [1, 'one'],
              [2, 'two'],
            ],
          ],
        ],
      )
      assert.equal(packets.length, 0)
      opened[0]?.handlers.onReply(2, Buffer.from('two'))
      assert.equal(packets.length, 1)
      assert.deepEqual([sent(0).source, sent(0).destination], [family.peer, family.self])
      assert.deepEqual([...sent(0).payload.subarray(4)], [0, 77, 0, 2, ...Buffer.from('two')])
      opened[0]?.handlers.onError(1, 'EHOSTUNREACH')
      assert.deepEqual([...sent(1).payload.subarray(0, 2)], family.unreachable)
      // An error of a request that is not pending any more says nothing.
      opened[0]?.handlers.onError(1, 'EHOSTUNREACH')
      assert.equal(packets.length, 2)
    })

  it('answers "prohibited" and says so when the far side may not send pings', () => {
    const { flows, opened, ping, refused, sent } = aSet()
    ping(1)
    opened[0]?.handlers.onClose('EACCES')
    assert.deepEqual([...sent(0).payload.subarray(0, 2)], [3, 13])
    assert.deepEqual([refused, flows.size], [['EACCES'], 0])
    ping(2)
    assert.equal(opened.length, 2)
  })

  it('is silent when the stream is lost, and when the far side forgets a flow', () => {
    const { opened, packets, ping, refused } = aSet()
    ping(1)
    opened[0]?.handlers.onClose('ECONNRESET')
    ping(2)
    opened[1]?.handlers.onClose()
    assert.deepEqual([packets, refused], [[], []])
  })

  it('keeps flows apart by identifier, closes those of a lost subnet, and the oldest when there are too many', () => {
    const { flows, opened, ping } = aSet()
    for (let n = 0; n <= MAX_ECHO_FLOWS; n++) ping(1, 'x', n + 1)
    assert.deepEqual([flows.size, opened[0]?.closed, opened[1]?.closed], [MAX_ECHO_FLOWS, 1, 0])
    flows.closeFlows((address) => address === '10.244.1.5')
    assert.deepEqual([flows.size, opened[1]?.closed], [0, 1])
  })
})
