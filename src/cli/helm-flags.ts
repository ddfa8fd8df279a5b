import { Flags } from '@oclif/core'
import { parseDuration } from '../base/duration.ts'
import { TpxError } from '../base/error.ts'
import { clusterFlags } from './flags.ts'

/** Milliseconds of `--timeout`: "120" (seconds), "2m", "500ms". @throws TpxError USAGE */
export function parseTimeout(text: string | undefined): number | undefined {
  const ms = text === undefined ? undefined : parseDuration(text)
  if (text !== undefined && ms === undefined)
    throw new TpxError('USAGE', `"${text}" is no duration`, { hint: 'Write it like 120s, 2m or 1m30s' })
  return ms
}

/** What every command about the traffic-manager's installation has. */
export const helmFlags = {
  ...clusterFlags,
  timeout: Flags.string({
    description: 'How long to wait for the cluster, e.g. 90s or 2m; default: the configuration, 2m.',
    helpValue: 'DURATION',
  }),
}

/** Values of the chart, as in Helm. */
export const valueFlags = {
  set: Flags.string({
    description: 'Set a value of the chart, e.g. image.registry=registry.example.com; several with commas.',
    helpValue: 'KEY=VALUE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  'set-string': Flags.string({
    description: 'As --set, but the value stays a string, e.g. image.tag=1.',
    helpValue: 'KEY=VALUE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  values: Flags.string({
    char: 'f',
    description: 'YAML file of values, - for stdin; may be given several times, later ones win.',
    helpValue: 'FILE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  wait: Flags.boolean({ allowNo: true, default: true, description: 'Wait until the traffic-manager is ready.' }),
}
