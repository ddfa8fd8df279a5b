import { appEnvironment } from '../container/app-environment.ts'
import { runAppContainer } from '../container/app-container.ts'
import type { ContainerEngine } from '../container/container-engine.ts'
import type { DockerRunArguments } from '../container/docker-run-arguments.ts'
import { mountWorkloadVolumes } from '../container/workload-volumes.ts'
import type { AttachParams, Attachment } from '../wire/control.ts'
import type { Connected } from './connect.ts'
import { appLabels, placeOf, runOwned } from './owned-run.ts'

/** One `docker-run`. */
export type DockerRunOptions = {
  attach: AttachParams
  connected: Connected
  engine: ContainerEngine
  onProgress: (text: string) => void
  run: DockerRunArguments
}

/** Paths that the user mounts: these win over the workload's volumes. */
function pathsOfUser({ app }: DockerRunArguments): Set<string> {
  const volumes = app
    .filter(({ name }) => name === 'volume')
    .map(({ value }) => value.split(':').find((part, i, all) => part.startsWith('/') && (i > 0 || all.length === 1)))
  const mounts = app.filter(({ name }) => name === 'mount').map(({ value }) => /(?:^|,)(?:destination|dst|target)=([^,]+)/.exec(value)?.[1])
  const tmpfs = app.filter(({ name }) => name === 'tmpfs').map(({ value }) => value.split(':', 1)[0])
  return new Set([...volumes, ...mounts, ...tmpfs].filter((path) => path !== undefined))
}

async function runAttached(options: DockerRunOptions, attachment: Attachment, owner: string): Promise<number> {
  const { attach, connected, engine, onProgress, run } = options
  const { holderId, settings } = connected
  const volumes = attach.mount
    ? await mountWorkloadVolumes(engine, { attachment, connection: settings.name, holderId, owner, skipPaths: pathsOfUser(run) })
    : []
  const environment = appEnvironment(attachment.environment, run.app)
  if (environment.skipped.length) onProgress(`Left out, because Docker cannot take them: ${environment.skipped.join(', ')}`)
  onProgress(
    `Traffic to port ${attachment.servicePort} of Service "${attachment.serviceName}" arrives at port ${attachment.localPort}; ${Object.keys(attachment.environment).length} variables, ${volumes.length} volumes`,
  )
  return runAppContainer(run, { environment, holderId, labels: appLabels(placeOf(connected), owner, [attach.name]), volumes })
}

/**
 * Attaches, runs the image in the connection's network namespace, and takes everything back at its end.
 * @returns the exit status of the app
 */
export function dockerRun(options: DockerRunOptions): Promise<number> {
  const { attach, connected, engine, onProgress } = options
  const { control } = connected
  return runOwned({ attachments: [attach.name], engine, place: placeOf(connected) }, async (owner) => {
    onProgress(`Attaching to "${attach.workload}"`)
    const attachment = await control.call('attach', attach, { onProgress })
    return runAttached(options, attachment, owner)
  })
}
