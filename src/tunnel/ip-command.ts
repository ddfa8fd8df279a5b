import { TpxError } from '../base/error.ts'
import { runTool } from './run-tool.ts'

/** One `ip` command without the word "ip". With `canFail` its failure is no error: what it asks for is there already. */
export type IpCommand = { canFail?: boolean; line: string }

/**
 * Runs `ip` commands in one process, in order.
 * @param family for commands that do not name an address; undefined where all do
 * @throws TpxError TUNNEL_FAILED with the first command that failed and the kernel's words
 */
export async function runIpCommands(family: 4 | 6 | undefined, commands: readonly IpCommand[]): Promise<void> {
  if (commands.length === 0) return
  const input = commands.map(({ line }) => `${line}\n`).join('')
  const { status, stderr } = await runTool('ip', [...(family ? [`-${family}`] : []), '-force', '-batch', '-'], input)
  if (status === 0) return
  for (const { index, reason } of parseFailures(stderr)) {
    const command = index === undefined ? undefined : commands[index]
    if (command?.canFail) continue
    throw new TpxError('TUNNEL_FAILED', `Cannot run "ip ${command?.line ?? '-batch'}" in the tunnel container: ${reason}`, {
      hint: /not permitted/i.test(reason) ? 'The tunnel container needs the capability NET_ADMIN' : undefined,
    })
  }
}

/**
 * Which commands of a batch failed, by their place, and why: "RTNETLINK answers: File exists", then "Command failed -:5".
 * A command that `ip` cannot even read ends the batch without its place.
 */
export function parseFailures(stderr: string): { index: number | undefined; reason: string }[] {
  const failures: { index: number | undefined; reason: string }[] = []
  let reason = ''
  for (const line of stderr.split('\n')) {
    const number = /^Command failed .*:(\d+)$/.exec(line)?.[1]
    if (number === undefined) reason = line.trim() || reason
    else failures.push({ index: Number(number) - 1, reason })
  }

  return failures.length > 0 ? failures : [{ index: undefined, reason: reason || 'ip ended without a reason' }]
}
