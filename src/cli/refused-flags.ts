// Flags of kubectl that tpx has not: the link outlives the command, and what is not in the kubeconfig would have to be kept
// somewhere: a secret in a label or on a command line, where everybody reads it.

const SET_CREDENTIALS = 'Put it into the kubeconfig ("kubectl config set-credentials"), and choose the context with --context'
const SET_CLUSTER = 'Put it into the kubeconfig ("kubectl config set-cluster"), and choose the context with --context'
const SET_CONTEXT = 'Make a context of it ("kubectl config set-context NAME --cluster … --user …"), and choose that with --context'

const REFUSED: Record<string, string> = {
  'as-user-extra': 'Put it into the kubeconfig as "as-user-extra" of the user',
  'certificate-authority': SET_CLUSTER,
  'client-certificate': SET_CREDENTIALS,
  'client-key': SET_CREDENTIALS,
  cluster: SET_CONTEXT,
  'insecure-skip-tls-verify': SET_CLUSTER,
  password: SET_CREDENTIALS,
  'proxy-url': SET_CLUSTER,
  server: SET_CLUSTER,
  'tls-server-name': SET_CLUSTER,
  token: SET_CREDENTIALS,
  user: SET_CONTEXT,
  username: SET_CREDENTIALS,
}

/** The first flag among the words that kubectl has and tpx refuses, and what to do instead. */
export function refusedFlag(words: string[]): { hint: string; name: string } | undefined {
  for (const word of words) {
    const name = /^--([a-z-]+)(?:=|$)/.exec(word)?.[1]
    const hint = name === undefined || !Object.hasOwn(REFUSED, name) ? undefined : REFUSED[name]
    if (name !== undefined && hint !== undefined) return { hint, name }
  }
  return undefined
}
