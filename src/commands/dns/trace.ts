import { Args, Flags } from '@oclif/core'
import { type Answer, TpxCommand } from '../../cli/base-command.ts'
import { useFlag } from '../../cli/flags.ts'
import { dockerEngine } from '../../session/docker-engine.ts'
import { traceDns } from '../../session/dns-trace.ts'
import type { DnsRecord, DnsTrace, DnsTraceStep } from '../../wire/control.ts'

const TYPES = ['A', 'AAAA', 'ANY', 'CAA', 'CNAME', 'HTTPS', 'MX', 'NS', 'PTR', 'SOA', 'SRV', 'TXT'] as const

const ms = (value: number): string => `${value.toFixed(1)} ms`
const record = ({ data, name, ttl, type }: DnsRecord): string => `${name} ${ttl} ${type} ${data}`

function describeAsked({ error, from, isCached, ms: took, name, rcode }: DnsTraceStep['asked'][number], step: string): string {
  const what = name === step ? '' : ` for ${name}`
  if (isCached) return `   known from ${from}${what}: ${rcode}`
  return `   asked ${from}${what}: ${rcode ?? `no answer, ${error}`} in ${ms(took)}`
}

function describeStep(step: DnsTraceStep, i: number): string[] {
  return [
    `${i + 1}. ${step.name}: ${step.rcode}${step.records.length ? '' : ', no records'} in ${ms(step.ms)}`,
    `   ${step.rule}`,
    ...step.asked.map((asked) => describeAsked(asked, step.name)),
    ...(step.error ? [`   ${step.error}`] : []),
    ...step.records.map((one) => `   ${record(one)}`),
  ]
}

function describe(trace: DnsTrace & { next?: string }): string {
  const { found, name, nameserver, ndots, rcode, search, steps, type } = trace
  const result = found === null ? `not found (${rcode})` : `found as ${found}`
  const lines = [
    `${name} ${type}: ${result} after ${ms(trace.ms)}`,
    `resolv.conf: name server ${nameserver}, ndots ${ndots}, search ${search.join(' ') || '(none)'}`,
    ...steps.flatMap(describeStep),
    ...(trace.next ? [`Next: ${trace.next}`] : []),
  ]
  return `${lines.join('\n')}\n`
}

export default class DnsTraceCommand extends TpxCommand<typeof DnsTraceCommand> {
  static override summary = 'Resolve a name as the containers of a connection do, and show every step and its time.'
  static override description = 'The search list is gone through as libc does. An IP address is asked for its name.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> web-app',
    '<%= config.bin %> <%= command.id %> _http._tcp.web-app --type SRV',
  ]
  static override args = { name: Args.string({ description: 'Name, or IP address.', required: true }) }
  static override flags = {
    ...useFlag,
    flush: Flags.boolean({ description: 'Forget all cached answers of the connection before.' }),
    type: Flags.option({ char: 't', default: 'A' as const, description: 'Type of the records.', options: TYPES })(),
  }

  protected async answer(): Promise<Answer> {
    const { flush, type, use } = this.flags
    const data = await traceDns({ flush, name: this.args.name, type }, { engine: dockerEngine, root: this.config.root, use })
    return { data, text: describe(data) }
  }
}
