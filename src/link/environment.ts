import type { Variables } from '../wire/link-environment.ts'

/** What says which connection this link is for, and how it is reached: not to be changed by another shell. */
const OWN = /^(?:DOCKER_.*|KUBECONFIG|TPX_.*|XDG_RUNTIME_DIR|XDG_STATE_HOME)$/

/**
 * Takes over the environment of the shell in which `tpx connect` was typed again, so that credential plugins find what the user
 * has signed in with since.
 */
export function adoptEnvironment(variables: Variables, env: NodeJS.ProcessEnv = process.env): void {
  for (const name of Object.keys(env)) if (!OWN.test(name) && !(name in variables)) delete env[name]
  for (const [name, value] of Object.entries(variables)) if (!OWN.test(name)) env[name] = value
}
