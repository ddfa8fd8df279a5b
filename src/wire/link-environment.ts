// The link's environment, kept beside its sockets: a credential plugin needs PATH, AWS_PROFILE and the like, and the command that
// starts a dead link again may have been typed in another shell. It may hold secrets, so it is neither a label nor a
// mount: a file of the user's own (0600 in a 0700 directory), which the link writes
// when it is ready, and which ends with the connection.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const NAME = 'environment.json'

/** What a link was started for: the same words from flags of the link and of the command that finds it alive. */
export type Choice = {
  as?: string | undefined
  asGroups?: string[] | undefined
  asUid?: string | undefined
  context: string | undefined
  /** As in $KUBECONFIG. */
  kubeconfig: string | undefined
  managerNamespace: string
  namespace: string | undefined
}

/** Tells whether two choices lead to the same place as the same user. */
export function isSameChoice(a: Choice, b: Choice): boolean {
  const text = ({ as, asGroups, asUid, context, kubeconfig, managerNamespace, namespace }: Choice): string =>
    JSON.stringify([as ?? '', asGroups ?? [], asUid ?? '', context, kubeconfig, managerNamespace, namespace])
  return text(a) === text(b)
}

/** Environment variables by name. */
export type Variables = Record<string, string>

/** The environment with which the connection's link ran; undefined where there is none. @param directory of the connection's sockets */
export function readLinkEnvironment(directory: string): Variables | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, NAME), 'utf8')) as Variables
  } catch {
    return undefined
  }
}

/** Keeps the environment for the next link. */
export function writeLinkEnvironment(directory: string, variables: NodeJS.ProcessEnv): void {
  const path = join(directory, NAME)
  rmSync(path, { force: true }) // a file of before might be open to others
  writeFileSync(path, JSON.stringify(variables), { flag: 'wx', mode: 0o600 })
}
