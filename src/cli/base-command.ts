import { Command, Errors, Flags, type Interfaces } from '@oclif/core'
import { asTpxError, TpxError } from '../base/error.ts'
import { refusedFlag } from './refused-flags.ts'
import { formatAnswer, OUTPUT_FORMATS, type OutputFormat } from './output.ts'

/** What a command gives back: the answer for machines, and the same in words for people. */
export type Answer = { data: unknown; text: string }

/**
 * Base of every command. A subclass answers from `answer()`; stdout gets that answer in the form of `--output`, and
 * nothing else; progress and errors go to stderr. An error ends with the exit status of its kind (base/error-codes.ts).
 */
export abstract class TpxCommand<T extends typeof Command> extends Command {
  static override baseFlags: Interfaces.FlagInput = {
    output: Flags.option({
      char: 'o',
      default: 'default' as const,
      description: 'Form of the answer on stdout.',
      helpGroup: 'GLOBAL',
      options: OUTPUT_FORMATS,
    })(),
  }

  protected flags!: Interfaces.InferredFlags<(typeof TpxCommand)['baseFlags'] & T['flags']>
  protected args!: Interfaces.InferredArgs<T['args']>
  /** What stands behind the first `--`: taken out before oclif parses, because oclif puts those words in another order. */
  protected rest: string[] = []

  protected abstract answer(): Promise<Answer>

  override async init(): Promise<void> {
    await super.init()
    const at = this.argv.indexOf('--')
    if (at >= 0) this.rest = this.argv.splice(at).slice(1)
    const { args, flags } = await this.parse({
      args: this.ctor.args,
      baseFlags: (super.ctor as typeof TpxCommand).baseFlags,
      flags: this.ctor.flags,
      strict: this.ctor.strict,
    })
    this.flags = flags as typeof this.flags
    this.args = args as typeof this.args
  }

  override async run(): Promise<void> {
    const { data, text } = await this.answer()
    const { output } = this.flags as { output: OutputFormat }
    process.stdout.write(output === 'default' ? text : formatAnswer(data, output))
  }

  /** Says what is going on, on stderr; silent where a machine reads. */
  protected progress(text: string): void {
    if ((this.flags as { output: OutputFormat }).output === 'default') process.stderr.write(`${text}\n`)
  }

  /** Says on stderr what may not be as the user thinks, also where a machine reads stdout. */
  protected warnAll(texts: readonly string[]): void {
    for (const text of texts) process.stderr.write(`Warning: ${text}\n`)
  }

  protected override async catch(error: Error & { exitCode?: number; oclif?: { exit?: number } }): Promise<void> {
    if (error instanceof Errors.ExitError) throw error
    const failure = error instanceof Errors.CLIError ? this.usageError(error) : asTpxError(error)
    this.report(failure)
    this.exit(this.exitStatus(failure))
  }

  /** The exit status for a failure of tpx itself; `docker-run` overrides it. */
  protected exitStatus(failure: TpxError): number {
    return failure.exitStatus
  }

  private usageError(error: Error): TpxError {
    const refused = refusedFlag(this.argv)
    if (refused)
      return new TpxError('USAGE', `Flag --${refused.name} is not for tpx: the kubeconfig says who and where`, {
        cause: error,
        hint: refused.hint,
      })
    return new TpxError('USAGE', firstLine(error.message), {
      cause: error,
      hint: `Run "tpx ${this.id?.replaceAll(':', ' ') ?? ''} --help"`,
    })
  }

  private report(failure: TpxError): void {
    // `--output` may be unparsed when the failure is a usage error: look at the words themselves.
    const format = /(?:^|\s)(?:-o|--output)[ =](json|yaml)/.exec(this.argv.join(' '))?.[1] as 'json' | 'yaml' | undefined
    if (format) process.stdout.write(formatAnswer({ error: failure.toRecord() }, format))
    process.stderr.write(`Error: ${failure.message} [${failure.code}]\n`)
    if (failure.hint) process.stderr.write(`Next:  ${failure.hint}\n`)
    if (failure.code === 'BUG')
      process.stderr.write(
        `This is a bug in tpx; please report it with the lines below.\n${String((failure.cause as Error | undefined)?.stack ?? failure.stack)}\n`,
      )
  }
}

/** What is wrong, without the pointers that oclif puts around it. */
function firstLine(text: string): string {
  const [first = text, second = ''] = text.split('\n')
  if (!/^The following errors? occurred:$/.test(first.trim())) return first
  return second.trim().replace(/^--/, 'Flag --')
}
