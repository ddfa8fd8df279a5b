import { readFileSync } from 'node:fs'
import { TpxError } from '../base/error.ts'
import type { WrittenFlag } from './docker-run-arguments.ts'

/** How the workload's environment gets to `docker run` without touching a file or a command line. */
export type AppEnvironment = {
  /** Words for `docker run`. */
  flags: string[]
  /** Text for a pipe that `docker run --env-file` reads; empty where none is needed. */
  pipe: string
  /** Names that could not be handed over. */
  skipped: string[]
  /** To be merged into the environment of the `docker` process. */
  variables: Record<string, string>
}

/** Variables that would change the `docker` client itself: they cannot ride in its own environment. */
const CLIENT =
  /^(?:DOCKER_|BUILDX_|BUILDKIT_|COMPOSE_|LD_|GO|GRPC_|SSH_|SSL_CERT_|OTEL_|XDG_|HTTPS?_PROXY$|NO_PROXY$|ALL_PROXY$|https?_proxy$|no_proxy$|all_proxy$|HOME$|PATH$|TERM$|TMPDIR$|USER$)/

/** Names that the user sets by -e or --env-file: these win over the workload's. @throws TpxError USAGE when a file cannot be read */
function namesSetByUser(flags: WrittenFlag[]): Set<string> {
  const names = flags.filter(({ name }) => name === 'env').map(({ value }) => value.split('=', 1)[0] ?? '')
  for (const { value } of flags.filter(({ name }) => name === 'env-file')) {
    try {
      names.push(
        ...readFileSync(value, 'utf8')
          .split('\n')
          .map((line) => line.trim().split('=', 1)[0] ?? ''),
      )
    } catch (cause) {
      throw new TpxError('USAGE', `Cannot read the env file "${value}"`, { cause })
    }
  }
  return new Set(names)
}

/**
 * `docker run -e NAME` takes the value from the client's environment and puts it into the Engine API's Env array byte for
 * byte, many lines included; `--env-file` cuts at line ends. So all names go the first way, except those which would change
 * the client: they go by a pipe, if they have one line.
 */
export function appEnvironment(workload: Record<string, string>, userFlags: WrittenFlag[]): AppEnvironment {
  const own = namesSetByUser(userFlags)
  const result: AppEnvironment = { flags: [], pipe: '', skipped: [], variables: {} }
  for (const [name, value] of Object.entries(workload)) {
    if (own.has(name)) continue
    if (!CLIENT.test(name)) {
      result.flags.push('-e', name)
      result.variables[name] = value
    } else if (value.includes('\n')) result.skipped.push(name)
    else result.pipe += `${name}=${value}\n`
  }
  return result
}
