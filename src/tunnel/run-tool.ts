import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { systemCode, TpxError } from '../base/error.ts'

const TIMEOUT_MS = 10_000

/** What a program of the image came to; `status` is null when it was killed after 10 s. */
export type ToolResult = { status: number | null; stderr: string }

/**
 * Runs a program of the image with `input` on its stdin.
 * @throws TpxError TUNNEL_FAILED when the image has no such program
 */
export async function runTool(file: string, args: string[], input: string): Promise<ToolResult> {
  const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'pipe'], timeout: TIMEOUT_MS })
  // A program that ends early closes its stdin; its status says why.
  child.stdin.on('error', () => {}).end(input)
  const stderr = text(child.stderr)
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve)
    child.once('error', (error) => {
      reject(
        new TpxError('TUNNEL_FAILED', `Cannot run "${file}" in the tunnel container: ${systemCode(error) ?? error.message}`, {
          cause: error,
          hint: 'The tunnel image is incomplete; use the one that belongs to this version of tpx',
        }),
      )
    })
  })
  return { status, stderr: await stderr }
}
