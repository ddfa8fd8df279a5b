import type { KubeConfig } from '@kubernetes/client-node'
import { messageOf, systemCode, TpxError } from '../base/error.ts'
import type { ErrorCode } from '../base/error-codes.ts'
import { serverOf } from './server-address.ts'

type Described = { code: ErrorCode; hint: string; text: string }

const REASONS: Partial<Record<string, [text: string, hint: string]>> = {
  ECONNREFUSED: ['refuses connections', 'Is the cluster running? If the address is out of date, fetch the kubeconfig again'],
  ECONNRESET: ['closed the connection', 'Something between here and the cluster (VPN, proxy) cuts connections; try again'],
  EHOSTUNREACH: ['cannot be reached', 'Is the VPN up?'],
  ENETUNREACH: ['cannot be reached', 'Is the VPN up?'],
  ENOTFOUND: ['has a name that does not resolve', 'Is the VPN up? If the cluster is gone, choose another --context'],
  EAI_AGAIN: ['has a name that cannot be resolved now', 'Is the network up?'],
  ETIMEDOUT: ['does not answer', 'Is the VPN up?'],
}

/** Certificate checks of Node's TLS (X509_V_ERR names of OpenSSL, and Node's own). */
const TLS_CODE = /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_TLS|ERR_SSL|ERR_OSSL|HOSTNAME_MISMATCH|INVALID_CA|EPROTO)/
const TLS_REASONS: Partial<Record<string, [text: string, hint: string]>> = {
  CERT_HAS_EXPIRED: [
    'shows a certificate that has expired',
    'Renew the certificate of the API server; or the clock of this machine is wrong',
  ],
  CERT_NOT_YET_VALID: ['shows a certificate that is not valid yet', 'Is the clock of this machine right?'],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    'shows a certificate of another name',
    'Set tls-server-name in the kubeconfig to a name that the certificate has',
  ],
}
const UNTRUSTED: [text: string, hint: string] = [
  'shows a certificate that cannot be trusted',
  'Check certificate-authority and tls-server-name in the kubeconfig, or the clock; a proxy may replace certificates',
]
/** What the libraries for proxies throw: hpagent and socks. */
const PROXY_REFUSAL = /^(Bad response: \d+|Proxy timeout|Socks.*|Proxy connection timed out|Invalid SOCKS.*)/i

/** Turns a request that got no answer at all into an error that says at which leg it ended, and the next step. */
export function transportError(error: unknown, kubeConfig: KubeConfig): TpxError {
  const systemError = innerCode(error) ?? (isTimeout(error) ? 'ETIMEDOUT' : undefined)
  const proxy = proxyOf(kubeConfig)
  const { code, hint, text } =
    describeProxy(error, systemError, { proxy, server: serverOf(kubeConfig) }) ??
    describeCode(systemError, kubeConfig) ??
    describeOther(error, kubeConfig)
  return new TpxError(code, text, { cause: error, hint })
}

function describeProxy(
  error: unknown,
  code: string | undefined,
  { proxy, server }: { proxy: string | undefined; server: string },
): Described | undefined {
  if (proxy === undefined) return undefined
  const hint = 'Check proxy-url in the kubeconfig, or HTTPS_PROXY and NO_PROXY, and what the proxy asks for'
  const refusal = messageOf(error).replace('Bad response:', 'HTTP')
  if (PROXY_REFUSAL.test(messageOf(error)))
    return {
      code: 'KUBERNETES_UNREACHABLE',
      hint,
      text: `The proxy "${proxy}" does not connect to the Kubernetes API at "${server}": ${refusal}`,
    }
  const [text] = REASONS[code ?? ''] ?? []
  // What does not answer may be either of the two.
  if (!text || code === 'ETIMEDOUT') return undefined
  return {
    code: 'KUBERNETES_UNREACHABLE',
    hint,
    text: `The proxy "${proxy}" on the way to the Kubernetes API at "${server}" ${text} (${code})`,
  }
}

function describeCode(code = '', kubeConfig: KubeConfig): Described | undefined {
  const api = `The Kubernetes API at "${serverOf(kubeConfig)}"`
  const unreachable = REASONS[code]
  if (unreachable) return { code: 'KUBERNETES_UNREACHABLE', hint: unreachable[1], text: `${api} ${unreachable[0]} (${code})` }
  if (!TLS_CODE.test(code)) return undefined
  const [text, hint] = TLS_REASONS[code] ?? UNTRUSTED
  return { code: 'KUBERNETES_CERTIFICATE_INVALID', hint, text: `${api} ${text} (${code})` }
}

function describeOther(error: unknown, kubeConfig: KubeConfig): Described {
  const api = `The Kubernetes API at "${serverOf(kubeConfig)}"`
  if (error instanceof SyntaxError)
    return {
      code: 'KUBERNETES_UNREACHABLE',
      hint: 'Does a proxy answer in its place, e.g. with a page to sign in?',
      text: `${api} answers with something that is no JSON`,
    }
  const hint = `Does "kubectl --context ${kubeConfig.getCurrentContext()} get pods" work?`
  return { code: 'KUBERNETES_UNREACHABLE', hint, text: `${api} cannot be asked: ${messageOf(error)}` }
}

/** The proxy on the way to the API, without its password. */
function proxyOf(kubeConfig: KubeConfig): string | undefined {
  const { proxyUrl } = kubeConfig.getCurrentCluster() ?? {}
  if (!proxyUrl || !URL.canParse(proxyUrl)) return undefined
  const { host, protocol } = new URL(proxyUrl)
  return `${protocol}//${host}`
}

/** The system code, also where fetch() or happy eyeballs hid it in a cause or an AggregateError. */
function innerCode(error: unknown): string | undefined {
  for (let seen: unknown = error, depth = 0; seen && depth < 4; depth++) {
    const code = systemCode(seen)
    if (code && code !== 'ABORT_ERR') return code
    seen = (seen as { cause?: unknown }).cause ?? (seen as { errors?: unknown[] }).errors?.[0]
  }

  return undefined
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError'
}
