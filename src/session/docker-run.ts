import { randomBytes } from 'node:crypto'
import { appEnvironment } from '../container/app-environment.ts'
import { runAppContainer } from '../container/app-container.ts'
import type { ContainerEngine } from '../container/container-engine.ts'
import type { DockerRunArguments } from '../container/docker-run-arguments.ts'
import { LABEL } from '../container/labels.ts'
import { mountWorkloadVolumes, unmountWorkloadVolumes } from '../container/workload-volumes.ts'
import type { AttachParams, Attachment } from '../wire/control.ts'
import type { Connected } from './connect.ts'
import { disconnect } from './disconnect.ts'
import { listConnections } from './connection.ts'

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
  const labels = { [LABEL.connection]: settings.name, [LABEL.owner]: owner, [LABEL.role]: 'app' }
  return runAppContainer(run, { environment, holderId, labels, volumes })
}

/**
 * Attaches, runs the image in the connection's network namespace, and takes everything back at its end. Should this process
 * vanish, the link does the same: it owns the list by `link.own` for as long as the control stream is open.
 * @returns the exit status of the app
 */
export async function dockerRun(options: DockerRunOptions): Promise<number> {
  const { attach, connected, engine, onProgress } = options
  const { control, isNew, settings } = connected
  const owner = randomBytes(4).toString('hex')
  await control.call('link.own', { attachments: [attach.name], owner, quit: isNew })
  try {
    onProgress(`Attaching to "${attach.workload}"`)
    const attachment = await control.call('attach', attach, { onProgress })
    return await runAttached(options, attachment, owner)
  } finally {
    await control.call('leave', { name: attach.name }).catch(() => {})
    await unmountWorkloadVolumes(engine, owner)
    await control.call('link.disown', {}).catch(() => {})
    if (isNew) {
      const mine = (await listConnections(engine)).find((one) => one.settings.name === settings.name)
      if (mine) await disconnect(engine, mine)
    }
    control.close()
  }
}
