// A credential plugin as the clouds have them, for the test cluster: it exists only on the host, and its tokens live shortly.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KubeconfigFolder } from './kubeconfig.ts'
import { kubectl, run } from './tpx.ts'

const ACCOUNT = 'tpx-test-developer'
/** Name of the program; only the PATH of a shell that is prepared for it has it. */
const COMMAND = 'tpx-test-login'

/** A ServiceAccount with what a developer needs: to look at the manager and to open port-forwards, here and in `default`. */
const RIGHTS = ['ambassador', 'default'].map((namespace) =>
  JSON.stringify({
    apiVersion: 'v1',
    items: [
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'Role',
        metadata: { name: ACCOUNT, namespace },
        rules: [
          { apiGroups: [''], resources: ['pods', 'services'], verbs: ['get', 'list'] },
          { apiGroups: [''], resources: ['pods/portforward'], verbs: ['create', 'get'] },
        ],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: ACCOUNT, namespace },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: ACCOUNT },
        subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: 'default' }],
      },
    ],
    kind: 'List',
  }),
)

/** The plugin, seen from the test. */
export type LoginPlugin = AsyncDisposable & {
  account: string
  /** `exec` of a kubeconfig's user. */
  exec: object
  /** From now on the plugin fails, saying this; undefined: it works again. */
  fail(text: string | undefined): void
  /** Directory to put before PATH. */
  path: string
  /** Makes every token that was given out so far worthless: the Secrets that they are bound to are deleted. */
  revoke(): Promise<void>
  /** How long a token lives by its expirationTimestamp, from the next one on. */
  setLife(seconds: number): void
  /** Tokens that were given out, oldest first. */
  tokens(): string[]
}

/** Makes account and plugin. A token dies with the next but one. */
export async function loginPlugin(folder: KubeconfigFolder): Promise<LoginPlugin> {
  await kubectl('create', 'serviceaccount', ACCOUNT).catch(() => {})
  for (const [i, text] of RIGHTS.entries()) await kubectl('apply', '--filename', folder.file(`rights-${i}.json`, text))
  const [tokens, failure, life] = ['tokens', 'failure', 'life'].map((file) => join(folder.path, file)) as [string, string, string]
  writeFileSync(tokens, '', { mode: 0o600 })
  const program = (await run(new URL('../cluster/cluster', import.meta.url).pathname, ['bin'])).trim()
  // The kubelet's API gives no token for less than ten minutes, but one that is bound to a Secret dies with it.
  folder.file(
    COMMAND,
    `#!/bin/sh
set -eu
[ -n "\${TPX_TEST_LOGIN:-}" ] || { echo "TPX_TEST_LOGIN is not set" >&2; exit 9; }
if [ -e ${failure} ]; then cat ${failure} >&2; exit 7; fi
echo "signing in" >&2
kubectl() { ${program} --kubeconfig ${String(process.env['KUBECONFIG'])} "$@"; }
n=$(( $(wc -l <${tokens}) + 1 ))
kubectl create secret generic ${ACCOUNT}-$n-$$ >/dev/null
kubectl label secret ${ACCOUNT}-$n-$$ ${ACCOUNT}=$n >/dev/null
token=$(kubectl create token ${ACCOUNT} --bound-object-kind Secret --bound-object-name ${ACCOUNT}-$n-$$ --duration 10m)
[ $n -lt 3 ] || kubectl delete secret --selector ${ACCOUNT}=$((n - 2)) >/dev/null
echo "$token" >>${tokens}
cat <<JSON
{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
 "status": {"token": "$token", "expirationTimestamp": "$(date -u -d "+$(cat ${life}) seconds" +%Y-%m-%dT%H:%M:%SZ)"}}
JSON
`,
    0o755,
  )
  return {
    account: ACCOUNT,
    exec: { apiVersion: 'client.authentication.k8s.io/v1', command: COMMAND, interactiveMode: 'IfAvailable' },
    fail: (text) => (text === undefined ? rmSync(failure, { force: true }) : writeFileSync(failure, text)),
    path: folder.path,
    revoke: async () => void (await kubectl('delete', 'secret', '--selector', ACCOUNT)),
    setLife: (seconds) => writeFileSync(life, String(seconds)),
    tokens: () => (existsSync(tokens) ? readFileSync(tokens, 'utf8').split('\n').filter(Boolean) : []),
    async [Symbol.asyncDispose]() {
      await kubectl('delete', 'secret', '--selector', ACCOUNT)
      await kubectl('delete', 'serviceaccount', ACCOUNT, '--ignore-not-found')
      for (const namespace of ['ambassador', 'default'])
        await kubectl('delete', 'role,rolebinding', ACCOUNT, '--namespace', namespace, '--ignore-not-found')
    },
  }
}
