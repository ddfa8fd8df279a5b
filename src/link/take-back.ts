import type Docker from 'dockerode'
import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import type { Ownership } from '../wire/control.ts'
import { DockerodeEngine } from '../container/dockerode-engine.ts'
import { LABEL } from '../container/labels.ts'
import { unmountWorkloadVolumes } from '../container/workload-volumes.ts'
import type { TunnelControl } from './tunnel-control.ts'

/** Each step has a limit of its own; together they stay below 5 s. */
const APP_SECONDS = 1
const LEAVE_LIMIT_MS = 1200

/** What taking back works with. */
export type TakeBackParts = { control: TunnelControl; docker: Docker; logger: Logger }

/**
 * Takes back what a process owned that is gone: app containers, attachments, mount containers, volumes, in this order.
 * Containers and volumes are found by the owner label. Goes on after each failure; never rejects.
 */
export async function takeBack({ attachments, owner }: Ownership, parts: TakeBackParts): Promise<void> {
  const { control, docker, logger } = parts
  const engine = new DockerodeEngine(docker)
  const apps = (await attempt(logger, 'list containers', () => engine.listContainers({ [LABEL.owner]: owner, [LABEL.role]: 'app' }))) ?? []
  await Promise.all(apps.map(({ id }) => stopAndRemove(docker, id, APP_SECONDS, logger)))
  await Promise.all(attachments.map((name) => tellTunnel(control, 'leave', { name }, logger)))
  await attempt(logger, 'unmount volumes', () => unmountWorkloadVolumes(engine, owner))
}

/** SIGTERM, SIGKILL `seconds` later, then removed. What is not there is no failure. */
async function stopAndRemove(docker: Docker, id: string, seconds: number, logger: Logger): Promise<void> {
  await attempt(logger, `stop ${id}`, () => docker.getContainer(id).stop({ t: seconds }))
  await removeContainer(docker, id, logger)
}

/** SIGKILL, then removed. What is not there is no failure. */
export async function removeContainer(docker: Docker, id: string, logger: Logger): Promise<void> {
  await attempt(logger, `remove ${id}`, () => docker.getContainer(id).remove({ force: true, v: true }))
}

/** Tells the tunnel something, if it is there, and waits a limited time. */
export async function tellTunnel(control: TunnelControl, method: 'leave' | 'quit', params: object, logger: Logger): Promise<void> {
  if (!control.isUp) return
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise((resolve) => {
    timer = setTimeout(resolve, LEAVE_LIMIT_MS)
  })
  await attempt(logger, method, async () =>
    Promise.race([control.forward(await control.get(0, ''), { method, params, progress: () => {} }), limit]),
  )
  clearTimeout(timer)
}

async function attempt<T>(logger: Logger, what: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    const status = (error as { statusCode?: number }).statusCode
    // 304 already stopped, 404 not there, 409 removal in progress.
    if (status !== 304 && status !== 404 && status !== 409) logger.warn({ reason: messageOf(error), what }, 'taking back failed')
    return undefined
  }
}
