// The tables, in Markdown.
import { delayKey, ROUND_TRIPS } from './delay.ts'
import type { Metrics } from './metrics.ts'
import { type PathName, PATHS } from './paths.ts'
import { judge, type Line, LINES, type Target, TARGETS } from './targets.ts'

const TITLES: Record<PathName, string> = {
  direct: 'direct route',
  exec: 'tpx, exec carrier',
  'port-forward': 'kubectl port-forward',
  unix: 'tpx, unix carrier',
}
const MISSING = '–'
const INTERCEPT_LINES = LINES.filter(({ unit }) => unit !== '%')
const INTERCEPT = ['real Pod', 'agent to app', 'developer'] as const

const shown = (value: number | undefined, decimals: number): string =>
  value === undefined ? MISSING : value.toLocaleString('en', { maximumFractionDigits: decimals, minimumFractionDigits: decimals })

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, index) => (index ? '---:' : '---'))), ...rows.map(line)].join('\n')
}

function cell(metrics: Metrics, prefix: string, base: string, { decimals, key, unit }: Line): string {
  const value = metrics.median(`${prefix}/${key}`)
  const over = metrics.median(`${base}/${key}`)
  return value !== undefined && over && prefix !== base && unit !== '%'
    ? `${shown(value, decimals)} [${shown(value / over, 2)}]`
    : shown(value, decimals)
}

function pathsTable(metrics: Metrics): string {
  const rows = LINES.map((line) => [`${line.what} (${line.unit})`, ...PATHS.map((path) => cell(metrics, path, 'port-forward', line))])
  return table(['line', ...PATHS.map((path) => TITLES[path])], rows)
}

function interceptTable(metrics: Metrics): string {
  const rows = INTERCEPT_LINES.map((line) => [
    `${line.what} (${line.unit})`,
    ...INTERCEPT.map((way) => cell(metrics, `intercept/${way}`, 'intercept/real Pod', line)),
  ])
  return table(['caller Pod →', 'a Pod without agent', 'app behind an idle agent', "agent → developer's container"], rows)
}

function dnsTable(metrics: Metrics): string {
  const lines: Line[] = ['same name', 'new name'].flatMap((name) =>
    ['p50', 'p99'].map((p) => ({ decimals: 2, key: `DNS ${name} ${p} ms`, unit: 'ms', what: `${name}, ${p}` })),
  )
  const rows = lines.map((line) => [`${line.what} (ms)`, ...['pod', 'unix', 'exec'].map((place) => cell(metrics, place, 'pod', line))])
  return table(['DNS from', 'a Pod', TITLES.unix, TITLES.exec], rows)
}

function cpuTable(metrics: Metrics): string {
  const columns = ['direct', 'port-forward', 'unix', 'exec', 'intercept/developer'].flatMap((path) => [`${path}/down`, `${path}/up`])
  const pairs = ['direct', 'port-forward', 'unix', 'exec', 'intercept/developer']
  const roles = [...new Set(columns.flatMap((column) => metrics.under(`cpu/${column}/`)))].filter((role) => role !== 'app').sort()
  const pair = (value: (column: string) => number | undefined, path: string): string => {
    const [down, up] = [value(`${path}/down`), value(`${path}/up`)]
    return down === undefined && up === undefined ? MISSING : `${shown(down, 1)} / ${shown(up, 1)}`
  }
  const rows = roles.map((role) => [role, ...pairs.map((path) => pair((column) => metrics.median(`cpu/${column}/${role}`), path))])
  const sum = (column: string): number | undefined => {
    const parts = roles.flatMap((role) => metrics.median(`cpu/${column}/${role}`) ?? [])
    return parts.length ? parts.reduce((a, b) => a + b, 0) : undefined
  }
  rows.push(['**sum**', ...pairs.map((path) => pair(sum, path))])
  return table(['CPU s/GB, down / up', 'direct', 'port-forward', 'unix', 'exec', 'intercept'], rows)
}

function memoryTable(metrics: Metrics): string {
  const programs: [program: string, path: string][] = [
    ['tunnel', 'unix'],
    ['tunnel', 'exec'],
    ['link', 'unix'],
    ['link', 'exec'],
    ['manager', 'unix'],
    ['agent', 'unix'],
    ['kubectl', 'port-forward'],
  ]
  const rows = programs.map(([program, path]) => [
    `${program} (${path})`,
    ...['idle', 'loaded', 'intercepting'].map((when) => {
      const of = (kind: string): number | undefined => metrics.median(`memory ${when}/${path}/${program} ${kind}`)
      return of('rss') === undefined ? MISSING : `${shown(of('rss'), 0)} (${shown(of('anon'), 0)})`
    }),
  ])
  return table(['VmRSS in MB (of it RssAnon)', 'idle', "after the path's load", "after the intercept's load"], rows)
}

function commandsTable(metrics: Metrics): string {
  const keys = ['unix/connect ms', 'exec/connect ms', ...metrics.under('command/').map((key) => `command/${key}`)]
  const rows = keys
    .filter((key) => metrics.values[key])
    .map((key) => {
      const values = metrics.values[key] ?? []
      const [least, most] = [Math.min(...values), Math.max(...values)]
      return [
        key.replace(/^command\/| ms$/g, ''),
        shown(metrics.median(key), 0),
        `${shown(least, 0)}–${shown(most, 0)}`,
        String(values.length),
      ]
    })
  return table(['command (wall time)', 'median ms', 'range', 'n'], rows)
}

function delayTable(metrics: Metrics): string {
  const rows = ROUND_TRIPS.flatMap((roundTripMs) => {
    const of = (way: 'port-forward' | 'tpx' | 'two tpx', what: 'connect' | 'down' | 'p50' | 'up') =>
      metrics.median(delayKey(roundTripMs, way, what))
    const over = (value: number | undefined, base: number | undefined, decimals: number): string =>
      value !== undefined && base ? `${shown(value, decimals)} [${shown(value / base, 2)}]` : shown(value, decimals)
    const bulk = (['down', 'up'] as const).map((what) => [
      `${roundTripMs} ms, bulk ${what} (Mbit/s)`,
      shown(of('port-forward', what), 0),
      over(of('tpx', what), of('port-forward', what), 0),
      over(of('two tpx', what), of('tpx', what), 0),
    ])
    const p50 = [`${roundTripMs} ms, one request, p50 (ms)`, shown(of('port-forward', 'p50'), 1), shown(of('tpx', 'p50'), 1), MISSING]
    return [...bulk, p50, [`${roundTripMs} ms, connect (ms)`, MISSING, shown(of('tpx', 'connect'), 0), MISSING]]
  })
  return table(['round trip to the API server', 'kubectl port-forward', 'tpx, k = 1', 'two tpx connections at once [÷ k = 1]'], rows)
}

function targetRow(metrics: Metrics, target: Target): string[] {
  const verdict = judge(metrics, target)
  const decimals = target.unit === '×' ? 2 : 0
  const wanted = target.atLeast === undefined ? `< ${target.atMost}` : `≥ ${target.atLeast.toFixed(decimals)}`
  const answer = verdict ? (verdict.isMet ? 'met' : '**not met**') : 'not measured'
  return [target.what, `${wanted} ${target.unit}`, shown(verdict?.value, decimals), answer, shown(verdict?.best, decimals), target.peer]
}

/** The whole report. `facts`: lines about machine and run. */
export function report(metrics: Metrics, facts: string[]): string {
  return [
    facts.map((fact) => `- ${fact}`).join('\n'),
    `### Targets\n\n${table(
      ['target', 'wanted', 'median', '', 'best round', 'Telepresence 2.21-dev'],
      TARGETS.map((target) => targetRow(metrics, target)),
    )}`,
    `### Paths (medians; in brackets the ratio to port-forward)\n\n${pathsTable(metrics)}`,
    `### An intercepted workload (in brackets the ratio to a Pod without agent)\n\n${interceptTable(metrics)}`,
    `### DNS\n\n${dnsTable(metrics)}`,
    `### A long way to the API server (one app connection; in brackets the ratio to port-forward)\n\n${delayTable(metrics)}`,
    `### Commands\n\n${commandsTable(metrics)}`,
    `### CPU\n\n${cpuTable(metrics)}`,
    `### Memory\n\n${memoryTable(metrics)}`,
    metrics.notes.length ? `### Notes of the run\n\n${[...new Set(metrics.notes)].map((note) => `- ${note}`).join('\n')}` : '',
  ]
    .filter(Boolean)
    .join('\n\n')
}
