import { readFileSync } from 'node:fs'
import type https from 'node:https'
import { systemCode, TpxError } from '../base/error.ts'
import { type ExecCredential, type ExecPlugin, runExecPlugin } from './exec-plugin.ts'

/** Whom to act as; kubectl's --as, --as-group, --as-uid, and `as-user-extra` of a kubeconfig. */
export type Impersonation = { extra?: Record<string, string[]>; groups?: string[]; uid?: string; user?: string }

/** What client-node does not do for the user of a kubeconfig, or not as kubectl does. */
export type UserCredentials = { impersonate: Impersonation; plugin?: ExecPlugin; tokenFile?: string }

/** A credential is renewed this long before its end, at most, so that nobody waits for the plugin. */
const MOST_AHEAD_MS = 30_000
/** … and this part of its life before its end, where it lives shortly. */
const AHEAD_PART = 0.25
/** A plugin that keeps giving the same credential, or fails, is not asked more often. */
const LEAST_BETWEEN_MS = 1000

/** The credentials of one user, kept fresh: a plugin's until shortly before their end, a token file's as it is on disk. */
export class Credentials {
  /** Gets what a plugin writes on stderr while it runs, e.g. the address of a page to sign in. */
  onNotice: (text: string) => void = () => {}
  readonly #user: UserCredentials
  #current: ExecCredential | undefined
  #renewAt = 0
  #renewing: Promise<ExecCredential> | undefined

  constructor(user: UserCredentials) {
    this.#user = user
  }

  /** Files, beside the kubeconfig's own, that hold what is sent. */
  get files(): string[] {
    return this.#user.tokenFile ? [this.#user.tokenFile] : []
  }

  /**
   * Adds credentials and impersonation to a request.
   * @throws TpxError CREDENTIAL_PLUGIN_FAILED, KUBERNETES_UNAUTHORIZED (token file)
   */
  async apply(options: https.RequestOptions): Promise<void> {
    const headers = (options.headers ??= {}) as Record<string, string | string[]>
    const { impersonate, plugin, tokenFile } = this.#user
    if (tokenFile) headers['Authorization'] = `Bearer ${readToken(tokenFile)}`
    else if (plugin) this.#applyPlugin(await this.#fresh(plugin), options, headers)
    if (impersonate.user) headers['Impersonate-User'] = impersonate.user
    if (impersonate.uid) headers['Impersonate-Uid'] = impersonate.uid
    if (impersonate.groups?.length) headers['Impersonate-Group'] = impersonate.groups
    for (const [key, values] of Object.entries(impersonate.extra ?? {}))
      headers[`Impersonate-Extra-${encodeURIComponent(key.toLowerCase())}`] = values
  }

  #applyPlugin(
    { certificate, key, token }: ExecCredential,
    options: https.RequestOptions,
    headers: Record<string, string | string[]>,
  ): void {
    if (token) headers['Authorization'] = `Bearer ${token}`
    if (!certificate || !key) return
    Object.assign(options, { cert: certificate, key })
    // An agent is there where a proxy is, lives on, and its own options would win.
    const agent = options.agent as { options?: object } | undefined
    if (agent?.options) Object.assign(agent.options, { cert: certificate, key })
  }

  /** The current credential; near its end it is renewed on the side, and only after its end that is waited for. */
  async #fresh(plugin: ExecPlugin): Promise<ExecCredential> {
    const now = Date.now() // the wall clock, because the end of life is one
    const current = this.#current
    if (current && now < this.#renewAt) return current
    const renewing = this.#renew(plugin)
    if (!current || now >= current.expiresAt) return renewing
    renewing.catch(() => {}) // as long as the old one lives, nobody is concerned
    return current
  }

  #renew(plugin: ExecPlugin): Promise<ExecCredential> {
    this.#renewAt = Date.now() + LEAST_BETWEEN_MS
    this.#renewing ??= runExecPlugin(plugin, (text) => this.onNotice(text))
      .then((credential) => {
        this.#current = credential
        this.#renewAt = renewalTime(credential.expiresAt)
        return credential
      })
      .finally(() => (this.#renewing = undefined))
    return this.#renewing
  }
}

function renewalTime(expiresAt: number): number {
  const now = Date.now()
  const left = expiresAt - now
  return Math.max(now + LEAST_BETWEEN_MS, expiresAt - Math.min(MOST_AHEAD_MS, left * AHEAD_PART))
}

/** Read for every connection: whoever renews the file need not tell. */
function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new TpxError('KUBERNETES_UNAUTHORIZED', `The token file "${path}" of the kubeconfig cannot be read: ${systemCode(cause)}`, {
      cause,
      hint: 'Check "tokenFile" in the kubeconfig with "kubectl config view"',
    })
  }
}
