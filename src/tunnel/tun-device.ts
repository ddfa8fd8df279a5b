import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import koffi from 'koffi'
import { systemCode, TpxError } from '../base/error.ts'
import { errnoName, ioctlNumber, ioctlPointer, read } from './libc.ts'

// linux/if_tun.h
const TUNSETIFF = 0x400454ca
const TUNSETPERSIST = 0x400454cb
const IFF_TUN = 0x0001
const IFF_NO_PI = 0x1000
const IFREQ_BYTES = 40
const IFREQ_FLAGS_OFFSET = 16

const MAX_PACKET_BYTES = 65_536
/** Packets read before Node's other events get their turn. */
const BURST = 64
/** A process that is being killed still holds the device for a moment. */
const BUSY_TIMEOUT_MS = 3000
const BUSY_RETRY_MS = 50

/** What a write may answer without being a failure: a network drops packets. EIO: the device is down. */
const DROPPED = new Set(['EAGAIN', 'EINVAL', 'EIO', 'ENOBUFS', 'ENOMEM'])

/** A TUN device: IP packets that the namespace routes to it come out, packets written to it arrive in the namespace. */
export interface TunDevice {
  /** Detaches; the device itself and its routes stay. */
  close(): void
  /** Begins to read. The packet is valid during the call only. `onLost` is called when the device is gone. */
  start(onPacket: (bytes: Uint8Array) => void, onLost: (error: TpxError) => void): void
  /** Sends one packet into the namespace; drops it when the kernel has no room. */
  write(packet: Uint8Array): void
}

/**
 * Attaches to a persistent TUN device and makes it first if it is not there, so that its routes outlive this process.
 * @param name at most 15 characters
 * @throws TpxError TUN_UNAVAILABLE when the container lacks /dev/net/tun or NET_ADMIN, or another process holds the device
 */
export async function openTunDevice(name: string): Promise<TunDevice> {
  const fd = openCloneDevice()
  try {
    await attach(fd, name)
  } catch (error) {
    closeSync(fd)
    throw error
  }

  return new KernelTunDevice(fd, name)
}

function openCloneDevice(): number {
  try {
    return openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK)
  } catch (error) {
    throw new TpxError('TUN_UNAVAILABLE', `Cannot open "/dev/net/tun" in the tunnel container: ${systemCode(error) ?? 'unknown error'}`, {
      cause: error,
      hint: 'The Docker Engine must be able to pass the device: on its machine run "modprobe tun" and see that /dev/net/tun exists',
    })
  }
}

async function attach(fd: number, name: string): Promise<void> {
  const request = Buffer.alloc(IFREQ_BYTES)
  request.write(name, 'latin1')
  request.writeUInt16LE(IFF_TUN | IFF_NO_PI, IFREQ_FLAGS_OFFSET)
  const end = performance.now() + BUSY_TIMEOUT_MS
  while (ioctlPointer(fd, TUNSETIFF, request) < 0) {
    const code = errnoName()
    if (code !== 'EBUSY' || performance.now() > end) throw attachError(name, code)
    await sleep(BUSY_RETRY_MS)
  }

  if (ioctlNumber(fd, TUNSETPERSIST, 1) < 0) throw attachError(name, errnoName())
}

function attachError(name: string, code: string): TpxError {
  const hints: Record<string, string> = {
    EBUSY: 'Another process in the network namespace holds the device; stop it, or start the tunnel container again',
    EPERM: 'The tunnel container needs the capability NET_ADMIN',
  }
  return new TpxError('TUN_UNAVAILABLE', `Cannot attach to the TUN device "${name}": ${code}`, { hint: hints[code] })
}

class KernelTunDevice implements TunDevice {
  readonly #fd: number
  readonly #name: string
  #isOpen = true
  #poll: ReturnType<typeof koffi.node.poll> | undefined

  constructor(fd: number, name: string) {
    this.#fd = fd
    this.#name = name
  }

  start(onPacket: (bytes: Uint8Array) => void, onLost: (error: TpxError) => void): void {
    const buffer = new Uint8Array(MAX_PACKET_BYTES)
    const drain = (): void => {
      for (let count = 0; this.#isOpen && count < BURST; count++) {
        const length = read(this.#fd, buffer, MAX_PACKET_BYTES)
        if (length < 0) {
          const code = errnoName()
          if (code !== 'EAGAIN' && code !== 'EINTR') lose(code)
          return
        }
        onPacket(buffer.subarray(0, length))
      }
    }

    const lose = (code: string): void => {
      this.close()
      onLost(new TpxError('TUNNEL_FAILED', `The TUN device "${this.#name}" was taken away: ${code}`))
    }

    // koffi calls back outside Node's callback scope, where promises and ticks would wait for some other event: hop out of it.
    this.#poll = koffi.node.poll(this.#fd, { readable: true }, () => void setImmediate(drain))
  }

  write(packet: Uint8Array): void {
    if (!this.#isOpen) return
    try {
      writeSync(this.#fd, packet)
    } catch (error) {
      if (!DROPPED.has(systemCode(error) ?? '')) throw error
    }
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#poll?.close()
    closeSync(this.#fd)
  }
}
