import { Flags } from '@oclif/core'
import type { TpxError } from '../base/error.ts'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { useFlag } from '../cli/flags.ts'
import { curl } from '../session/curl.ts'
import { dockerEngine } from '../session/docker-engine.ts'

/** The first words, as far as they are ours; all others are curl's, also those that only look like ours. */
function splitWords(words: string[]): { curl: string[]; own: string[] } {
  let at = 0
  while (/^--(?:image|use)(?:=|$)/.test(words[at] ?? '')) at += words[at]?.includes('=') ? 1 : 2
  return { curl: words.slice(words[at] === '--' ? at + 1 : at), own: words.slice(0, at) }
}

export default class Curl extends TpxCommand<typeof Curl> {
  static override summary = 'Run curl inside a connection: names and addresses of the cluster work, files are those of this host.'
  static override description =
    "The flags of tpx stand first; all that follows goes to curl as it is, and the exit status is curl's (125: a failure of tpx itself). " +
    "It is this host's curl, through a proxy that lives as long as the command. With --image, or where this host has no curl, it is curl " +
    'in a container that joins the connection.'
  static override usage = 'curl [--use NAME] [--image IMAGE] [--] [curl flags] URL…'
  static override examples = [
    '<%= config.bin %> <%= command.id %> -sf http://web-app/',
    '<%= config.bin %> <%= command.id %> --use shop -o out.json https://api.shop.svc/v1/items',
  ]
  static override strict = false
  // curl has flags of these names; nothing is answered in another form.
  static override baseFlags = { output: { ...TpxCommand.baseFlags['output'], hidden: true } } as typeof TpxCommand.baseFlags
  static override flags = {
    ...useFlag,
    image: Flags.string({
      description: "Image with a curl to run in a container instead of this host's.",
      env: 'TPX_CURL_IMAGE',
      helpValue: 'IMAGE',
    }),
  }

  override async init(): Promise<void> {
    const { curl, own } = splitWords(this.argv)
    // The base takes what stands behind the first "--" out, untouched.
    this.argv = [...own, '--', ...curl]
    await super.init()
  }

  protected override exitStatus(failure: TpxError): number {
    return failure.code === 'USAGE' ? failure.exitStatus : 125
  }

  protected async answer(): Promise<Answer> {
    const { image, use } = this.flags
    process.exitCode = await curl({
      engine: dockerEngine,
      image,
      onProgress: (text) => this.progress(text),
      root: this.config.root,
      use,
      words: this.rest,
    })
    return { data: undefined, text: '' }
  }
}
