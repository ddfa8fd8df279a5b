import { TpxError } from '../base/error.ts'
import type { AppEnvironment } from './app-environment.ts'
import type { DockerRunArguments } from './docker-run-arguments.ts'
import { environmentPipe } from './environment-pipe.ts'
import { runForeground } from './foreground.ts'

/** Everything that `docker run` needs besides the user's own words. */
export type AppOptions = {
  environment: AppEnvironment
  holderId: string
  labels: Record<string, string>
  /** Named volumes to mount: path in the app container -> volume. */
  volumes: { name: string; path: string; readOnly: boolean }[]
}

/** Words of the `docker` command line. The user's words come last, so that they win. */
export function dockerRunWords(run: DockerRunArguments, options: AppOptions, envFile?: string): string[] {
  const { environment, holderId, labels, volumes } = options
  return [
    'run',
    '--network',
    `container:${holderId}`,
    ...Object.entries(labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
    ...volumes.flatMap(({ name, path, readOnly }) => [
      '--mount',
      `type=volume,source=${name},destination=${path}${readOnly ? ',readonly' : ''}`,
    ]),
    ...environment.flags,
    ...(envFile === undefined ? [] : ['--env-file', envFile]),
    ...run.app.flatMap(({ words }) => words),
    run.image,
    ...run.command,
  ]
}

/**
 * Runs the app container by the `docker` client, which brings TTY, resizing, signals, pulling and streaming as users know
 * them. Ctrl-C reaches the client through the terminal; other signals are forwarded.
 * @returns the exit status of `docker run`: the app's own, or 125-127 as Docker has them
 */
export async function runAppContainer(run: DockerRunArguments, options: AppOptions): Promise<number> {
  using pipe = options.environment.pipe ? environmentPipe(options.environment.pipe) : undefined
  const ended = await runForeground('docker', dockerRunWords(run, options, pipe?.path), options.environment.variables)
  if ('status' in ended) return ended.status
  throw new TpxError('APP_FAILED', `Cannot run the docker client: ${ended.cannotStart}`, {
    hint: 'Install the Docker client; "docker version" must work',
  })
}
