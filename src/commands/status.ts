import { Flags } from '@oclif/core'
import { stringify } from 'yaml'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { useFlag } from '../cli/flags.ts'
import { routingLines } from '../cli/routing-text.ts'
import { formatTable } from '../cli/table.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { type ConnectionStatus, StatusProbe, watchStatus } from '../session/status.ts'
import type { StatusLeg } from '../wire/control.ts'

const CLEAR_SCREEN = '\x1B[H\x1B[2J'
const mib = (bytes: number): string => `${Math.round(bytes / (1 << 20))} MiB`
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

function legRow({ detail, doing, name, roundTripMs, since, state }: StatusLeg): string[] {
  const age = since === undefined ? '' : since.slice(11, 19)
  return [name, state, age, roundTripMs === undefined ? '' : `${roundTripMs.toFixed(1)} ms`, [detail, doing].filter(Boolean).join('; ')]
}

function describe(one: ConnectionStatus): string {
  const { attachments, cause, containers, dns, doing, lastProven, legs, link, next, settings, state, tunnel } = one
  const lines = [`${settings.name}: ${state}${cause ? `: ${cause}` : ''}`]
  if (doing) lines.push(`  doing: ${doing}`)
  if (next) lines.push(`  next:  ${next}`)
  lines.push(`  last proven end to end: ${lastProven ? `${seconds(lastProven.agoMs)} ago (${lastProven.at})` : 'unknown'}`)
  lines.push(
    `  context ${settings.context}, namespace ${settings.namespace}${settings.impersonate.as ? `, as ${settings.impersonate.as}` : ''}, manager namespace ${settings.managerNamespace}`,
    '',
  )
  lines.push(
    ...formatTable(['LEG', 'STATE', 'SINCE (UTC)', 'ROUND TRIP', 'DETAIL'], legs.map(legRow))
      .trimEnd()
      .split('\n')
      .map((line) => `  ${line}`),
    '',
  )
  const session = tunnel?.session
  if (session) lines.push(`  traffic-manager: ${session.managerName} ${session.managerVersion}`)
  lines.push(...routingLines(tunnel?.routing).map((line) => `  ${line}`))
  if (dns) {
    const suffixes = (what: string, list: string[]): string => (list.length ? `, ${what} ${list.join(' ')}` : '')
    lines.push(
      `  dns: server ${dns.address}, search ${dns.search.join(' ')}${suffixes('include', dns.includeSuffixes)}${suffixes('exclude', dns.excludeSuffixes)}`,
    )
  }
  for (const { kind, localPort, mounts, name, serviceName, servicePort, state } of attachments)
    lines.push(`  ${kind} ${name}: ${state}, port ${servicePort} of ${serviceName} -> ${localPort}, ${mounts.length} volumes`)
  if (link)
    lines.push(
      `  link: process ${link.pid}, API ${link.server}, carrier ${link.carrier}, port-forward ${link.portForward ?? 'none yet'}, ${mib(link.residentBytes)}`,
    )
  if (containers.length) lines.push(`  containers: ${containers.map(({ name, state }) => `${name} ${state}`).join(', ')}`)
  return lines.join('\n')
}

const textOf = (connections: ConnectionStatus[]): string =>
  connections.length ? `${connections.map(describe).join('\n\n')}\n` : 'Not connected\n'

export default class Status extends TpxCommand<typeof Status> {
  static override summary = 'Show every connection: its legs, the last proven answer, what is wrong and what tpx does about it.'
  static override description =
    'Every question has a limit, so that the answer is there within seconds whatever hangs. The exit status is 0 when there is an answer; with ' +
    '--check it is 1 unless there is a connection and all its legs are up.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --watch --output json',
    '<%= config.bin %> <%= command.id %> --check >/dev/null && make test',
  ]
  static override flags = {
    use: { ...useFlag.use, description: 'Show only this connection.' } as typeof useFlag.use,
    check: Flags.boolean({ description: 'End with 1 unless there is a connection and all its legs are up.', exclusive: ['watch'] }),
    watch: Flags.boolean({
      char: 'w',
      description: 'Show it anew on every change, until Ctrl-C; with --output json one line of JSON for each change.',
    }),
  }

  #probe: StatusProbe | undefined

  override async run(): Promise<void> {
    if (this.flags.watch) return this.#watch()
    await super.run()
    // A link that is starting would keep this process until it is ready; it goes on without it.
    if (this.#probe?.isStarting) this.exit(Number(process.exitCode ?? 0))
  }

  protected async answer(): Promise<Answer> {
    this.#probe = new StatusProbe({ engine: dockerEngine, engineMaxAgeMs: 0, root: this.config.root, use: this.flags.use })
    const connections = await this.#probe.look()
    const isGood = connections.length > 0 && connections.every(({ state }) => state === 'connected')
    if (this.flags.check && !isGood) process.exitCode = 1
    return { data: { connections }, text: textOf(connections) }
  }

  async #watch(): Promise<void> {
    const { output } = this.flags as unknown as { output: 'default' | 'json' | 'yaml' }
    const isScreen = output === 'default' && process.stdout.isTTY
    for await (const { connections, isChange } of watchStatus({ engine: dockerEngine, root: this.config.root, use: this.flags.use })) {
      if (isScreen) process.stdout.write(`${CLEAR_SCREEN}${textOf(connections)}`)
      else if (isChange) process.stdout.write(formatChange(connections, output))
    }
  }
}

/** One document of a stream: a line of JSON, a document of YAML, or a paragraph with its time. */
function formatChange(connections: ConnectionStatus[], output: 'default' | 'json' | 'yaml'): string {
  if (output === 'json') return `${JSON.stringify({ connections })}\n`
  if (output === 'yaml') return `---\n${stringify({ connections })}`
  return `${new Date().toISOString()}\n${textOf(connections)}\n`
}
