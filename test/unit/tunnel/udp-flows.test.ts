import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentLogger } from '../../../src/base/logger.ts'
import { parseIpPacket } from '../../../src/netstack/ip-packet.ts'
import { encodeUdpDatagram, parseUdpDatagram } from '../../../src/netstack/udp-datagram.ts'
import type { Dialer, UdpHandlers } from '../../../src/tunnel/dialer.ts'
import { IDLE_MS, MAX_FLOWS, UdpFlows } from '../../../src/tunnel/udp-flows.ts'

const SELF = Uint8Array.of(198, 18, 0, 1)
const PEER = Uint8Array.of(10, 96, 0, 1)

/** Flows whose far side is the test. */
function aSet() {
  const opened: { closed: number; handlers: UdpHandlers; sent: string[] }[] = []
  const packets: Uint8Array[] = []
  const dialer: Pick<Dialer, 'udp'> = {
    udp(_, handlers) {
      const flow = { closed: 0, handlers, sent: [] as string[] }
      opened.push(flow)
      return { close: () => void flow.closed++, send: (data) => void flow.sent.push(Buffer.from(data).toString()) }
    },
  }
  const flows = new UdpFlows({ dialer, logger: silentLogger(), send: (packet) => void packets.push(packet) })
  const say = (text: string, sourcePort = 5000): void => {
    const bytes = encodeUdpDatagram(SELF, PEER, { data: Buffer.from(text), destinationPort: 53, sourcePort })
    const packet = parseIpPacket(bytes)
    const datagram = packet && parseUdpDatagram(packet)
    assert.ok(datagram)
    flows.onDatagram(packet, datagram)
    // The reader's buffer is used again at once.
    bytes.fill(0)
  }
  return { flows, opened, packets, say }
}

describe('UdpFlows', () => {
  it('onDatagram() opens one flow for each pair of ports', () => {
    const { opened, say } = aSet()
    say('a')
    say('b')
    say('c', 5001)
    assert.deepEqual(
      opened.map(({ sent }) => sent),
      [['a', 'b'], ['c']],
    )
  })

  it('sends answers from where the question went', () => {
    const { opened, packets, say } = aSet()
    say('question')
    opened[0]?.handlers.onDatagram(Buffer.from('answer'))
    const packet = parseIpPacket(packets[0] ?? new Uint8Array())
    assert.ok(packet)
    assert.deepEqual([packet.source, packet.destination], [PEER, SELF])
    assert.deepEqual(parseUdpDatagram(packet), { data: new Uint8Array(Buffer.from('answer')), destinationPort: 5000, sourcePort: 53 })
  })

  it('answers a refused flow with "port unreachable", and opens a new one for the next datagram', () => {
    const { flows, opened, packets, say } = aSet()
    say('a')
    opened[0]?.handlers.onClose('ECONNREFUSED')
    assert.deepEqual([...(parseIpPacket(packets[0] ?? new Uint8Array())?.payload.subarray(0, 2) ?? [])], [3, 3])
    assert.equal(flows.size, 0)
    say('b')
    assert.equal(opened.length, 2)
  })

  it('forgets a flow that was silent too long', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { flows, opened, say } = aSet()
    say('a')
    t.mock.timers.tick(IDLE_MS - 1)
    assert.equal(flows.size, 1)
    t.mock.timers.tick(1)
    assert.deepEqual([flows.size, opened[0]?.closed], [0, 1])
  })

  it('closes the flow that was silent longest when there are too many', () => {
    const { flows, opened, say } = aSet()
    for (let n = 0; n < MAX_FLOWS; n++) say('a', n + 1)
    say('again', 1)
    say('one more', MAX_FLOWS + 1)
    assert.equal(flows.size, MAX_FLOWS)
    assert.deepEqual([opened[0]?.closed, opened[1]?.closed], [0, 1])
    flows.stop()
    assert.equal(flows.size, 0)
  })
})
