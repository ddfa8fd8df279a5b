import { runAppContainer } from '../container/app-container.ts'
import type { ContainerEngine } from '../container/container-engine.ts'
import type { WrittenFlag } from '../container/docker-run-arguments.ts'
import { holderName } from '../container/holder-container.ts'
import { imageOfConnection } from '../container/image.ts'
import { type EngineSource, useConnection } from './connection.ts'
import { isGone } from './cluster-dialer.ts'
import type { Connected } from './connect.ts'
import { appLabels, type Place, placeOf, runOwned } from './owned-run.ts'

/** What a throw-away container is made of. */
export type RunOptions = {
  command: string[]
  engine: ContainerEngine
  /** Flags of `docker run`. */
  flags: WrittenFlag[]
  /** Undefined: an image that is always there, with a shell. */
  image: string | undefined
  place: Place
}

/** Image of `tpx run` where none is named: what TPX_RUN_IMAGE says, or the tunnel's, which has sh, node, ip and socat. */
async function defaultRun({ command, engine, place }: RunOptions): Promise<{ command: string[]; flags: WrittenFlag[]; image: string }> {
  const image = process.env['TPX_RUN_IMAGE']
  // The tunnel's image would start a tunnel.
  const flags = image ? [] : [{ name: 'entrypoint', value: '', words: ['--entrypoint', ''] }]
  return { command: command.length > 0 ? command : ['sh'], flags, image: image ?? (await imageOfConnection(engine, place.connection)) }
}

/**
 * Runs a throw-away container in a connection's network namespace.
 * @returns the exit status of `docker run`: the command's own, or 125-127 as Docker has them
 */
export async function runTool(options: RunOptions): Promise<number> {
  const { command, engine, flags, image, place } = options
  const run = image === undefined ? await defaultRun(options) : { command, flags: [], image }
  // The user's own flags stand last, so that they win.
  const app = [{ name: 'rm', value: 'true', words: ['--rm'] }, ...run.flags, ...flags]
  const environment = { flags: [], pipe: '', skipped: [], variables: {} }
  return runOwned({ attachments: [], engine, place }, (owner) =>
    runAppContainer(
      { app, command: run.command, holder: [], image: run.image },
      { environment, holderId: place.holderId, labels: appLabels(place, owner), volumes: [] },
    ),
  )
}

/** A connection that is there. @throws TpxError CONNECTION_NOT_FOUND, CONNECTION_AMBIGUOUS */
export async function existingPlace(options: { engine: EngineSource; root: string; use: string | undefined }): Promise<Place> {
  const { control, name } = await useConnection(options)
  return { connection: name, control, holderId: holderName(name), isNew: false }
}

/**
 * The connection to run in: the one that is there, else a new one for the time of the run.
 * @param options `connect` makes one; `use`: the one that must be there
 * @throws TpxError CONNECTION_NOT_FOUND for `use`, CONNECTION_AMBIGUOUS, and what connecting comes to
 */
export async function placeToRun(options: {
  connect: () => Promise<Connected>
  engine: EngineSource
  root: string
  use: string | undefined
}): Promise<Place> {
  const { connect, engine, root, use } = options
  try {
    return await existingPlace({ engine, root, use })
  } catch (error) {
    if (use !== undefined || !isGone(error)) throw error
    return placeOf(await connect())
  }
}
