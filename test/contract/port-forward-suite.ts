import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KubeConfig } from '@kubernetes/client-node'
import { TpxError } from '../../src/base/error.ts'
import { openPortForward, type PortForwardTransport, TRANSPORTS } from '../../src/kube/port-forward/open-port-forward.ts'
import { RefusedUpgrade } from '../../src/kube/port-forward/refused-upgrade.ts'

/** A Pod with an echo port, a port that resets after the first bytes, and one where nobody listens. */
export type SuiteTarget = {
  echoPort: number
  kubeConfig: KubeConfig
  namespace: string
  pod: string
  refusedPort: number
  resetPort: number
}

const MEGABYTE = 1 << 20

/** What every transport must do, against whatever API server `setUp` gives. */
export function portForwardSuite(name: string, setUp: () => Promise<SuiteTarget>): void {
  for (const transport of Object.keys(TRANSPORTS) as PortForwardTransport[]) {
    describe(`port-forward by ${transport} against ${name}`, { timeout: 60_000 }, () => {
      const open = async (port: 'echoPort' | 'refusedPort' | 'resetPort', pod?: string): Promise<Duplex> => {
        const target = await setUp()
        const { kubeConfig, namespace } = target
        return TRANSPORTS[transport].open(
          kubeConfig,
          { namespace, pod: pod ?? target.pod, port: target[port] },
          AbortSignal.timeout(20_000),
        )
      }

      it('echoes a line', async () => {
        const stream = await open('echoPort')
        stream.write('hello\n')
        const [answer] = (await once(stream, 'data')) as [Buffer]
        assert.equal(answer.toString(), 'hello\n')
        stream.destroy()
      })

      it('carries 20 MB each way unharmed', async () => {
        const stream = await open('echoPort')
        const sent = createHash('sha256')
        const received = createHash('sha256')
        let left = 20 * MEGABYTE
        const echoed = new Promise<void>((resolve, reject) => {
          stream.on('error', reject)
          stream.on('data', (bytes: Buffer) => {
            received.update(bytes)
            left -= bytes.length
            if (left <= 0) resolve()
          })
        })
        for (let i = 0; i < 20; i++) {
          // Pieces of uneven size, so that frames and chunks do not fall together.
          const block = randomBytes(MEGABYTE)
          sent.update(block)
          stream.write(block.subarray(0, 1 + i * 50_000))
          if (!stream.write(block.subarray(1 + i * 50_000))) await once(stream, 'drain')
        }

        await echoed
        assert.equal(left, 0)
        assert.equal(received.digest('hex'), sent.digest('hex'))
        stream.destroy()
      })

      it('makes the writer wait while its answers are not read', async () => {
        const stream = await open('echoPort')
        stream.on('error', () => {})
        const block = Buffer.alloc(1 << 16)
        let written = 0
        // Kernel buffers on four hops hold some 20 to 100 MB; a pipe without back-pressure would take all.
        for (let stalls = 0; stalls < 3 && written < 400 * MEGABYTE; written += block.length) {
          if (stream.write(block)) continue
          const drained = await Promise.race([once(stream, 'drain').then(() => true), sleep(500).then(() => false)])
          stalls = drained ? 0 : stalls + 1
        }

        assert.ok(written < 400 * MEGABYTE, `wrote ${written} bytes into a stalled stream`)
        assert.ok(stream.readableLength + stream.writableLength < 4 * MEGABYTE)
        stream.destroy()
      })

      it('ends with PORT_FORWARD_FAILED where nobody listens', async () => {
        const stream = await open('refusedPort')
        stream.resume()
        const [error] = (await once(stream, 'error')) as [TpxError]
        assert.equal(error.code, 'PORT_FORWARD_FAILED')
        assert.match(error.message, /connection refused/)
      })

      it('ends with an error, not with a clean end, when the app resets', async () => {
        const stream = await open('resetPort')
        let ended = false
        stream.on('end', () => (ended = true)).resume()
        stream.write('x')
        const [error] = (await once(stream, 'error')) as [TpxError]
        assert.match(error.message, /reset/)
        assert.equal(ended, false)
      })

      it('refuses a Pod that is not there with 404', async () => {
        await assert.rejects(open('echoPort', 'no-such-pod'), (error) => error instanceof RefusedUpgrade && error.status === 404)
      })
    })
  }

  describe(`openPortForward() against ${name}`, { timeout: 60_000 }, () => {
    it('says POD_NOT_FOUND for a Pod that is not there', async () => {
      const { kubeConfig, namespace } = await setUp()
      await assert.rejects(openPortForward(kubeConfig, { namespace, pod: 'no-such-pod', port: 1 }), { code: 'POD_NOT_FOUND' })
    })
  })
}
