// The program under test: the tunnel's network, with a dialer that asks the peer container instead of a traffic-manager.
// Environment: FAR=address of the peer, MISSING=an address that nobody has, SUBNETS, MODES=tproxy listener and SUBNETS_LATER, separated by spaces.
import { once } from 'node:events'
import dgram from 'node:dgram'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemCode } from '../../../src/base/error.ts'
import { openLogger } from '../../../src/base/logger.ts'
import { parseAddress } from '../../../src/netstack/ip-address.ts'
import { openPingSocket } from '../../../src/outbound/ping-socket.ts'
import type { Dialer } from '../../../src/tunnel/dialer.ts'
import { startNetwork } from '../../../src/tunnel/network.ts'
import type { AdmissionMode } from '../../../src/tunnel/nft-ruleset.ts'
import { formatRequest } from '../../../src/wire/data-stream.ts'
import { DialError, Mux } from '../../../src/wire/mux.ts'
import { Pipe } from '../../../src/wire/pipe.ts'
import { FAR_PORT } from './ports.ts'

/** As the tunnel's own dialer. */
const PATIENCE_MS = 5000
const far = process.env['FAR'] ?? ''
const logger = openLogger('gate', process.env['TPX_LOG_LEVEL'] ?? 'info')
let session: Mux | undefined

async function keepSession(): Promise<void> {
  for (;;) {
    const socket = net.connect({ host: far, noDelay: true, port: FAR_PORT })
    try {
      await once(socket, 'connect')
      session = new Mux(new Pipe({ graceMs: 1, pings: false, silentMs: 60_000 }), 'client')
      session.pipe.attach(socket, 0)
      await once(socket, 'close')
      session.destroy()
    } catch {
      // the peer is away
    }
    session = undefined
    await sleep(100)
  }
}

const dialer: Dialer = {
  // A real ping from this container: 10.96.1.0/24 is an address that nobody has, everything else the peer or this machine.
  echo(address, { onClose, onError, onReply }) {
    const real = address.includes(':') ? '::1' : address.startsWith('10.96.1.') ? (process.env['MISSING'] ?? '') : far
    const socket = openPingSocket(parseAddress(real) ?? new Uint8Array(4), { onError, onReply })
    socket.catch((error: unknown) => onClose(systemCode(error)))
    return {
      close: () => void socket.then((open) => open.close()).catch(() => {}),
      send: (sequence, data) => void socket.then((open) => open.send(sequence, data)).catch(() => {}),
    }
  },
  async tcp({ address, port }, { signal }) {
    const end = performance.now() + PATIENCE_MS
    while (!session && !signal.aborted && performance.now() < end) await sleep(20)
    if (!session) throw new DialError('EHOSTUNREACH')
    return session.open(formatRequest({ destination: { host: address, port }, protocol: 'tcp' }), signal)
  },
  udp({ port }, { onClose, onDatagram }) {
    const socket = dgram.createSocket('udp4', (data) => onDatagram(data))
    socket.once('error', (error) => {
      socket.close()
      onClose((error as NodeJS.ErrnoException).code)
    })
    socket.connect(port, far)
    const connected = once(socket, 'connect')
    return {
      close: () => void socket.close(),
      send: (data) => void connected.then(() => socket.send(data)).catch(() => {}),
    }
  },
}

const words = (name: string): string[] => (process.env[name] ?? '').split(' ').filter(Boolean)

async function main(): Promise<void> {
  const began = performance.now()
  const modes = words('MODES') as AdmissionMode[]
  const network = await startNetwork({ dialer, logger, ...(modes.length > 0 ? { modes } : {}) })
  const startMs = performance.now() - began
  void keepSession()
  await network.setSubnets(words('SUBNETS'))
  console.log(`ready ${network.mode}: network ${startMs.toFixed(1)} ms, subnets ${(performance.now() - began - startMs).toFixed(1)} ms`)
  process.on('SIGTERM', () => void network.stop().then(() => process.exit(0)))
  process.on('SIGUSR2', () => void network.setSubnets(words('SUBNETS_LATER')).then(() => console.log('subnets changed')))
}

main().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})
