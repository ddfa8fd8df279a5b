import { stringify } from 'yaml'

/** The forms in which a command can give its answer. */
export const OUTPUT_FORMATS = ['default', 'json', 'yaml'] as const
/** @see OUTPUT_FORMATS */
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

/** An answer in a machine-readable form, with a final line feed. */
export function formatAnswer(answer: unknown, format: Exclude<OutputFormat, 'default'>): string {
  return format === 'json' ? `${JSON.stringify(answer, undefined, 2)}\n` : stringify(answer)
}
