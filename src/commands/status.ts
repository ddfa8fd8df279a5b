import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { type ConnectionStatus, status } from '../session/status.ts'
import type { Leg } from '../wire/control.ts'

const leg = ({ detail, state }: Leg): string => (detail ? `${state} (${detail})` : state)
const mib = (bytes: number): string => `${Math.round(bytes / (1 << 20))} MiB`

function describe({ containers, error, link, settings, state, tunnel }: ConnectionStatus): string {
  const lines = [
    `${settings.name}: ${state}`,
    `  context ${settings.context}, namespace ${settings.namespace}${settings.impersonate.as ? `, as ${settings.impersonate.as}` : ''}, manager namespace ${settings.managerNamespace}`,
  ]
  if (error) lines.push(`  error: ${error.message} [${error.code}]`, ...(error.hint ? [`  next:  ${error.hint}`] : []))
  if (link)
    lines.push(
      `  link: API ${leg(link.api)} at ${link.server}, carrier ${link.carrier}, port-forward ${link.portForward ?? 'none yet'}, ${mib(link.residentBytes)}`,
    )
  if (tunnel) {
    const { attachments, lastAnswerMs, manager, residentBytes, roundTripMs, session } = tunnel
    lines.push(
      `  traffic-manager: ${leg(manager)}${session ? `, ${session.managerName} ${session.managerVersion}` : ''}, round trip ${roundTripMs?.toFixed(1) ?? '?'} ms, last answer ${lastAnswerMs ?? '?'} ms ago`,
    )
    lines.push(
      `  tunnel: ${mib(residentBytes)}${session ? `, subnets ${[...session.serviceSubnets, ...session.podSubnets].join(', ')}` : ''}`,
    )
    for (const one of attachments)
      lines.push(
        `  ${one.kind} ${one.name}: ${one.state}, port ${one.servicePort} of ${one.serviceName} -> ${one.localPort}, ${one.mounts.length} volumes`,
      )
  }
  lines.push(`  containers: ${containers.map(({ name, state }) => `${name} ${state}`).join(', ')}`)
  return lines.join('\n')
}

export default class Status extends TpxCommand<typeof Status> {
  static override summary = 'Show every connection: its legs, the last proven answer, its attachments.'

  protected async answer(): Promise<Answer> {
    const connections = await status(dockerEngine, this.config.root)
    return { data: { connections }, text: connections.length ? `${connections.map(describe).join('\n')}\n` : 'Not connected\n' }
  }
}
