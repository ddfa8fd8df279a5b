import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { keepTrying } from '../base/retry.ts'

/** What happened to one of the connection's containers; `absent` = it is not there (any more). */
export type ContainerChange = { container: 'holder' | 'tunnel'; state: 'absent' | 'dead' | 'running' }

/** What is watched. */
export type WatchOptions = {
  docker: Docker
  holder: string
  onChange: (change: ContainerChange) => void
  onError: (error: unknown) => void
  signal: AbortSignal
  tunnel: string
}

type DockerEvent = { Action?: string; Actor?: { Attributes?: Record<string, string> } }

const STATES: Record<string, ContainerChange['state']> = { destroy: 'absent', die: 'dead', start: 'running' }

/**
 * Reports the state of both containers at once and on every change (Engine API /events). A lost event stream is opened
 * again, and what was missed meanwhile is seen by looking.
 * @returns when the signal aborts
 */
export async function watchContainers(options: WatchOptions): Promise<void> {
  const { docker, holder, onChange, onError, signal, tunnel } = options
  const names = { holder, tunnel }
  const watch = async (): Promise<boolean> => {
    const filters = { container: [holder, tunnel], event: Object.keys(STATES), type: ['container'] }
    const events = (await docker.getEvents({
      filters: JSON.stringify(filters),
      abortSignal: signal,
    } as Docker.GetEventsOptions)) as Readable
    const lines = createInterface({ input: events })
    lines.on('line', (line) => {
      const { Action = '', Actor } = JSON.parse(line) as DockerEvent
      const state = STATES[Action]
      const name = Actor?.Attributes?.['name']
      if (state && name) onChange({ container: name === holder ? 'holder' : 'tunnel', state })
    })
    // After the stream is open: nothing can happen unseen between looking and listening.
    for (const container of ['holder', 'tunnel'] as const) onChange({ container, state: await stateOf(docker, names[container]) })
    await new Promise((resolve) => {
      events.once('error', resolve).once('close', resolve).once('end', resolve)
      if (events.destroyed) resolve(undefined)
    })
    lines.close()
    throw new Error('The event stream of the Docker Engine ended')
  }
  await keepTrying(watch, { backoff: { firstMs: 200, mostMs: 5000 }, onError, signal })
}

async function stateOf(docker: Docker, name: string): Promise<ContainerChange['state']> {
  try {
    const { State } = await docker.getContainer(name).inspect()
    return State.Running ? 'running' : State.Status === 'created' ? 'absent' : 'dead'
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return 'absent'
    throw error
  }
}
