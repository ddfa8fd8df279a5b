import { Args, Flags } from '@oclif/core'
import type { TpxError } from '../base/error.ts'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { configOfFlags, connectFlags, useFlag } from '../cli/flags.ts'
import { routingConfig, routingFlags } from '../cli/routing-flags.ts'
import type { WrittenFlag } from '../container/docker-run-arguments.ts'
import { userNetwork } from '../container/holder-network.ts'
import type { Connected } from '../session/connect.ts'
import { readConnectionChoice } from '../session/connection-settings.ts'
import { dockerEngine } from '../session/docker-engine.ts'

export default class Run extends TpxCommand<typeof Run> {
  static override summary = 'Run a throw-away container inside a connection: a shell, or a tool of any image.'
  static override description =
    'Uses the connection that is there, or connects for as long as the container runs. Without an image it is an image with sh, node, ip and ' +
    "socat that is always there (TPX_RUN_IMAGE names another). The container is removed at its end; the exit status is the command's " +
    '(125: a failure of tpx itself).'
  static override usage = 'run [IMAGE] [--use NAME] [-it] [-e NAME=VALUE] [-v SOURCE:PATH] [-- COMMAND…]'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> -- node -e \'fetch("http://web-app/").then(r => r.text()).then(console.log)\'',
    '<%= config.bin %> <%= command.id %> postgres:17 -- psql -h db -U shop',
  ]
  static override args = { image: Args.string({ description: 'Image to run; its own command where none is given.', ignoreStdin: true }) }
  static override flags = {
    ...connectFlags,
    ...routingFlags,
    use: { ...useFlag.use, exclusive: ['as', 'context', 'kubeconfig', 'name', 'namespace', 'network'] } as typeof useFlag.use,
    entrypoint: Flags.string({ description: "Replaces the image's entry point.", helpGroup: 'CONTAINER' }),
    env: Flags.string({
      char: 'e',
      description: 'Environment variable.',
      helpGroup: 'CONTAINER',
      helpValue: 'NAME[=VALUE]',
      multiple: true,
      multipleNonGreedy: true,
    }),
    interactive: Flags.boolean({ char: 'i', description: 'Keep stdin open; so it is at a terminal anyway.', helpGroup: 'CONTAINER' }),
    tty: Flags.boolean({ char: 't', description: 'Give it a terminal; so it is at a terminal anyway.', helpGroup: 'CONTAINER' }),
    user: Flags.string({ char: 'u', description: 'User in the container.', helpGroup: 'CONTAINER' }),
    volume: Flags.string({
      char: 'v',
      description: 'Bind mount or volume.',
      helpGroup: 'CONTAINER',
      helpValue: 'SOURCE:PATH',
      multiple: true,
      multipleNonGreedy: true,
    }),
    workdir: Flags.string({ char: 'w', description: 'Working directory in the container.', helpGroup: 'CONTAINER' }),
  }

  protected override exitStatus(failure: TpxError): number {
    // As `docker run`: 125 is a failure of the tool itself, everything else belongs to the command.
    return failure.code === 'USAGE' ? failure.exitStatus : 125
  }

  protected async answer(): Promise<Answer> {
    const { as, context, kubeconfig, name, namespace, network, use } = this.flags
    const [{ placeToRun, runTool }, { placeOf }] = await Promise.all([import('../session/run.ts'), import('../session/owned-run.ts')])
    // Who says where to connect to means that place, as with docker-run; else what is there is taken.
    const isNamed =
      [as, context, kubeconfig, name, namespace, network].some((value) => value !== undefined) ||
      Object.keys(routingConfig(this.flags)).length > 0
    const connect = (): Promise<Connected> => this.#connect()
    const place = isNamed ? placeOf(await connect()) : await placeToRun({ connect, engine: dockerEngine, root: this.config.root, use })
    process.exitCode = await runTool({
      command: this.rest,
      engine: await dockerEngine(),
      flags: this.#dockerFlags(),
      image: this.args.image,
      place,
    })
    return { data: undefined, text: '' }
  }

  async #connect(): Promise<Connected> {
    const { clientConfig, settings, warnings } = await readConnectionChoice(this.flags, configOfFlags(this.flags))
    this.warnAll(warnings)
    const network = this.flags.network === undefined ? undefined : userNetwork(this.flags.network)
    const [{ connect }, engine] = await Promise.all([import('../session/connect.ts'), dockerEngine()])
    return connect({
      clientConfig,
      engine,
      network: network === undefined ? {} : { network },
      onProgress: (text) => this.progress(text),
      root: this.config.root,
      settings,
    })
  }

  #dockerFlags(): WrittenFlag[] {
    const { entrypoint, env = [], interactive, tty, user, volume = [], workdir } = this.flags
    const isTerminal = process.stdin.isTTY && process.stdout.isTTY
    // A shell without words is fed by stdin.
    const isFed = interactive || isTerminal || (this.rest.length === 0 && this.args.image === undefined)
    const withValue = (flag: string, values: (string | undefined)[]): WrittenFlag[] =>
      values.flatMap((value) => (value === undefined ? [] : [{ name: flag, value, words: [`--${flag}`, value] }]))
    const switches = [...(isFed ? ['interactive'] : []), ...(tty || isTerminal ? ['tty'] : [])]
    return [
      ...switches.map((flag) => ({ name: flag, value: 'true', words: [`--${flag}`] })),
      ...withValue('entrypoint', [entrypoint]),
      ...withValue('env', env),
      ...withValue('user', [user]),
      ...withValue('volume', volume),
      ...withValue('workdir', [workdir]),
    ]
  }
}
