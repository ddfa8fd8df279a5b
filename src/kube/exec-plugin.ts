import { spawn } from 'node:child_process'
import { systemCode, TpxError } from '../base/error.ts'

/** `users[].user.exec` of a kubeconfig (client.authentication.k8s.io, ExecConfig). */
export type ExecConfig = {
  apiVersion?: string
  args?: string[] | null
  /** Absolute, or a name that is looked for in PATH. */
  command: string
  env?: { name: string; value: string }[] | null
  installHint?: string
  interactiveMode?: string
  provideClusterInfo?: boolean
}

/** What a plugin handed out. `expiresAt` in milliseconds since 1970, Infinity where it said nothing. */
export type ExecCredential = { certificate?: string; expiresAt: number; key?: string; token?: string }

/** A plugin and what it is told. */
export type ExecPlugin = {
  /** `spec.cluster` of KUBERNETES_EXEC_INFO, for plugins that want it. */
  cluster: object
  config: ExecConfig
  /** For hints. */
  context: string
}

/** A plugin may wait for the user to sign in with a browser. */
const LIMIT_MS = 120_000
/** Silence after which the user is told what is waited for. */
const NOTICE_MS = 2000
/** Bytes kept of each output. */
const MOST_OUTPUT = 1 << 20
const DEFAULT_API_VERSION = 'client.authentication.k8s.io/v1'

type Ended = { status: number | null; stderr: string; stdout: string }

/**
 * Runs a credential plugin once, as kubectl does; without a terminal, because the link runs in the background.
 * @param onNotice gets what the plugin writes on stderr, e.g. where to sign in
 * @throws TpxError CREDENTIAL_PLUGIN_FAILED with what it wrote on stderr
 */
export async function runExecPlugin(plugin: ExecPlugin, onNotice: (text: string) => void = () => {}): Promise<ExecCredential> {
  const { status, stderr, stdout } = await run(plugin, onNotice)
  if (status !== 0) throw failed(plugin, `failed with status ${status}${said(stderr)}`)
  return readCredential(plugin, stdout, stderr)
}

function run(plugin: ExecPlugin, onNotice: (text: string) => void): Promise<Ended> {
  const { args, command, env } = plugin.config
  const variables = Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]))
  return new Promise((resolve, reject) => {
    const child = spawn(command, args ?? [], {
      env: { ...process.env, ...variables, KUBERNETES_EXEC_INFO: execInfo(plugin) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const output = { stderr: '', stdout: '' }
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      settle()
      reject(failed(plugin, `did not end within ${LIMIT_MS / 1000} s${said(output.stderr)}`))
    }, LIMIT_MS)
    const notice = setTimeout(() => onNotice(`Waiting for the credential plugin "${command}"`), NOTICE_MS)
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout = (output.stdout + text).slice(0, MOST_OUTPUT)))
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.stderr = (output.stderr + text).slice(-MOST_OUTPUT)
      clearTimeout(notice)
      onNotice(text)
    })
    const settle = (): void => [timer, notice].forEach((one) => clearTimeout(one))
    child.once('error', (cause) => {
      settle()
      reject(cannotStart(plugin, cause))
    })
    child.once('close', (status) => {
      settle()
      resolve({ ...output, status })
    })
  })
}

/** @see https://kubernetes.io/docs/reference/config-api/client-authentication.v1/ */
function execInfo({ cluster, config }: ExecPlugin): string {
  const spec = { ...(config.provideClusterInfo ? { cluster } : {}), interactive: false }
  return JSON.stringify({ apiVersion: config.apiVersion ?? DEFAULT_API_VERSION, kind: 'ExecCredential', spec })
}

type Answer = {
  apiVersion?: unknown
  kind?: unknown
  status?: { clientCertificateData?: string; clientKeyData?: string; expirationTimestamp?: string; token?: string }
}

function readCredential(plugin: ExecPlugin, stdout: string, stderr: string): ExecCredential {
  const answer = parseAnswer(stdout)
  // Not the text itself: half of a credential may be in it.
  if (answer?.kind !== 'ExecCredential') throw failed(plugin, `wrote no ExecCredential (JSON) on stdout${said(stderr)}`)
  const { apiVersion } = plugin.config
  if (apiVersion && answer.apiVersion !== apiVersion)
    throw failed(plugin, `answered in ${String(answer.apiVersion)}, and the kubeconfig says ${apiVersion}`)
  const { clientCertificateData: certificate, clientKeyData: key, expirationTimestamp, token } = answer.status ?? {}
  const pair = certificate && key ? { certificate, key } : undefined
  if (!token && !pair) throw failed(plugin, `gave neither a token nor a certificate with its key${said(stderr)}`)
  const expiresAt = expirationTimestamp ? Date.parse(expirationTimestamp) : Infinity
  if (Number.isNaN(expiresAt)) throw failed(plugin, `gave an expirationTimestamp that is no time: "${expirationTimestamp}"`)
  return { ...pair, expiresAt, ...(token ? { token } : {}) }
}

function parseAnswer(stdout: string): Answer | null {
  try {
    return JSON.parse(stdout) as Answer | null
  } catch {
    return null
  }
}

/** The last lines of what a plugin wrote: tools like to put a stack before the reason. */
function said(stderr: string): string {
  const text = stderr.trim().split('\n').slice(-6).join('\n').slice(-1000)
  return text && `: ${text}`
}

function failed({ config, context }: ExecPlugin, what: string): TpxError {
  const terminal = config.interactiveMode === 'Always' ? ' (it wants a terminal, which tpx cannot give it)' : ''
  return new TpxError('CREDENTIAL_PLUGIN_FAILED', `The credential plugin "${config.command}" of context "${context}" ${what}`, {
    hint: `Sign in again${terminal}; "kubectl --context ${context} get pods" must work`,
  })
}

function cannotStart({ config, context }: ExecPlugin, cause: unknown): TpxError {
  const code = systemCode(cause)
  const isPath = config.command.includes('/')
  const reason = code === 'ENOENT' ? (isPath ? 'is not there' : 'is not in PATH') : `cannot be started (${code})`
  return new TpxError('CREDENTIAL_PLUGIN_FAILED', `The credential plugin "${config.command}" of context "${context}" ${reason}`, {
    cause,
    hint: config.installHint?.trim() || `Install it, or call tpx where it is in PATH; "kubectl --context ${context} get pods" must work`,
  })
}
