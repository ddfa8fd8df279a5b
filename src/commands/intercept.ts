import { Args, Flags } from '@oclif/core'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { interceptFlags, useFlag } from '../cli/flags.ts'
import { useConnection } from '../session/connection.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { intercept } from '../session/intercept.ts'
import { parsePortArgument } from '../session/port-argument.ts'

export default class Intercept extends TpxCommand<typeof Intercept> {
  static override summary = "Take a workload's traffic: it arrives at a port of the connection's network namespace."
  static override examples = [
    '<%= config.bin %> <%= command.id %> web-app --port 8080:http',
    '<%= config.bin %> <%= command.id %> mine --workload web-app --env-json env.json',
  ]
  static override args = {
    name: Args.string({ description: 'Name of the attachment, and of the workload unless --workload says otherwise.', required: true }),
  }
  static override flags = {
    ...useFlag,
    ...interceptFlags,
    mount: Flags.option({
      default: 'false' as const,
      description: "Mount the workload's volumes into named Docker volumes.",
      options: ['true', 'false'] as const,
    })(),
    workload: Flags.string({ char: 'w', description: 'Deployment, StatefulSet or ReplicaSet; default: the name.' }),
  }

  protected async answer(): Promise<Answer> {
    const { flags } = this
    const port = parsePortArgument(flags.port)
    const files = [
      ...(flags['env-file'] ? [{ path: flags['env-file'], syntax: 'docker' as const }] : []),
      ...(flags['env-json'] ? [{ path: flags['env-json'], syntax: 'json' as const }] : []),
    ]
    const params = {
      ...port,
      kind: 'intercept' as const,
      mount: flags.mount === 'true',
      name: this.args.name,
      service: flags.service ?? null,
      workload: flags.workload ?? this.args.name,
    }
    const { attachment, volumes } = await intercept({
      files,
      onProgress: (text) => this.progress(text),
      open: () => useConnection({ engine: dockerEngine, root: this.config.root, use: flags.use }),
      params,
    })
    const text = [
      `Intercepting port ${attachment.servicePort} of Service "${attachment.serviceName}": traffic to ${attachment.workloadKind} "${attachment.workload}" arrives at port ${attachment.localPort} of the connection`,
      ...volumes.map(({ name, path }) => `Volume ${path}: docker run -v ${name}:${path} …`),
      `Give it back: tpx leave ${attachment.name}`,
    ]
    return { data: { ...attachment, volumes }, text: `${text.join('\n')}\n` }
  }
}
