import { Flags } from '@oclif/core'
import type { TpxError } from '../base/error.ts'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { configOfFlags, connectFlags, interceptFlags } from '../cli/flags.ts'
import { parseDockerRunArguments } from '../container/docker-run-arguments.ts'
import { holderNetwork, userNetwork } from '../container/holder-network.ts'
import { readConnectionChoice } from '../session/connection-settings.ts'
import { routingFlags } from '../cli/routing-flags.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { parsePortArgument, parseWorkloadArgument } from '../session/port-argument.ts'

export default class DockerRun extends TpxCommand<typeof DockerRun> {
  static override summary = 'Run an image in place of a workload: with its traffic, environment, volumes, and the network of the cluster.'
  static override usage = 'docker-run --intercept WORKLOAD[:PORT[:IDENTIFIER]] [tpx flags] -- [docker run flags] IMAGE [COMMAND…]'
  static override examples = [
    '<%= config.bin %> <%= command.id %> --intercept web-app -- --rm -it my-image:dev',
    '<%= config.bin %> <%= command.id %> --intercept web-app:3000:http -- -p 9229:9229 my-image:dev npm start',
  ]
  static override flags = {
    ...connectFlags,
    ...routingFlags,
    intercept: Flags.string({
      description: 'Workload whose traffic the container takes, the port it listens on, and the port of the Service.',
      helpValue: 'WORKLOAD[:PORT[:IDENTIFIER]]',
      required: true,
    }),
    mount: Flags.option({
      default: 'true' as const,
      description: "Mount the workload's volumes at their paths.",
      options: ['true', 'false'] as const,
    })(),
    port: interceptFlags.port,
    service: interceptFlags.service,
  }

  protected override exitStatus(failure: TpxError): number {
    // As `docker run`: 125 is a failure of the tool itself, everything else belongs to the app.
    return failure.code === 'USAGE' ? failure.exitStatus : 125
  }

  protected async answer(): Promise<Answer> {
    const { service = null } = this.flags
    const run = parseDockerRunArguments(this.rest)
    const ofFlag = this.flags.network === undefined ? undefined : userNetwork(this.flags.network)
    const network = holderNetwork(run.holder, ofFlag)
    const { workload, ...port } = parseWorkloadArgument(this.flags.intercept)
    const { localPort, portIdentifier } = this.flags.port === undefined ? port : parsePortArgument(this.flags.port)
    const { clientConfig, settings, warnings } = await readConnectionChoice(this.flags, configOfFlags(this.flags))
    this.warnAll(warnings)
    const onProgress = (text: string): void => this.progress(text)
    const [{ connect }, { dockerRun }, engine] = await Promise.all([
      import('../session/connect.ts'),
      import('../session/docker-run.ts'),
      dockerEngine(),
    ])
    const connected = await connect({ clientConfig, engine, network, onProgress, root: this.config.root, settings })
    const attach = {
      kind: 'intercept' as const,
      localPort,
      mount: this.flags.mount === 'true',
      name: workload,
      portIdentifier,
      service,
      workload,
    }
    process.exitCode = await dockerRun({ attach, connected, engine, onProgress, run })
    return { data: undefined, text: '' }
  }
}
