// node bench/dns-client.ts SERVER NAME COUNT same|fresh: asks COUNT times for the address of NAME over UDP, one question after the
// other, and prints {p50Ms, p99Ms}. With "fresh" each question is for another name below NAME, so that no cache can know it.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { decode, encode, RECURSION_DESIRED } from 'dns-packet'

const [server = '', name = '', count = '100', mode = 'same'] = process.argv.slice(2)
const LIMIT_MS = 3000
const run = process.pid.toString(36)
const socket = createSocket('udp4')
const latencies: number[] = []

for (let id = 1; id <= Number(count); id++) {
  const question = mode === 'fresh' ? `x${run}-${id}.${name}` : name
  const message = encode({ flags: RECURSION_DESIRED, id, questions: [{ name: question, type: 'A' }], type: 'query' })
  const began = performance.now()
  socket.send(message, 53, server)
  for (;;) {
    const [answer] = (await once(socket, 'message', { signal: AbortSignal.timeout(LIMIT_MS) })) as [Buffer]
    const { answers = [], id: answered } = decode(answer)
    if (answered !== id) continue
    if (mode === 'same' && answers.length === 0) throw new Error(`${server} knows no "${question}"`)
    break
  }
  latencies.push(performance.now() - began)
}
socket.close()
latencies.sort((a, b) => a - b)
const percentile = (p: number): number => latencies[Math.min(latencies.length - 1, Math.floor((latencies.length * p) / 100))] ?? NaN
process.stdout.write(JSON.stringify({ p50Ms: percentile(50), p99Ms: percentile(99) }))
