import { createHash } from 'node:crypto'
import { type Metadata, status } from '@grpc/grpc-js'
import { AGENT_TOKEN_AUDIENCE } from '../wire/versions.ts'
import { StatusError } from './grpc-handlers.ts'
import type { Kubernetes } from './kubernetes-api.ts'
import type { Clock } from './session-registry.ts'
import type { PodIdentity } from './sessions.ts'

/** A token that was good stays good for this long without asking again. */
const CACHE_MS = 60_000

/** TokenReview (authentication.k8s.io/v1). */
type TokenReview = { status?: Review }
type Review = { audiences?: string[]; authenticated?: boolean; user?: { extra?: Record<string, string[]>; username?: string } }

/** Tells which Pod makes a call, by the ServiceAccount token that came along. Rejects with UNAUTHENTICATED. */
export type Authenticate = (metadata: Metadata) => Promise<PodIdentity>

type Cached = { identity: Promise<PodIdentity>; untilMs: number }

/** Authenticates agents by TokenReview; verdicts are kept for a minute, by the token's hash. */
export function agentAuthenticator(kubernetes: Pick<Kubernetes, 'create'>, clock: Clock = Date.now): Authenticate {
  const cache = new Map<string, Cached>()
  return (metadata) => {
    const token = /^Bearer (\S+)$/.exec(String(metadata.get('authorization')[0] ?? ''))?.[1]
    if (!token) return Promise.reject(new StatusError(status.UNAUTHENTICATED, 'The call carries no token'))
    for (const [key, { untilMs }] of cache) if (untilMs <= clock()) cache.delete(key)
    const key = createHash('sha256').update(token).digest('base64')
    const cached = cache.get(key)
    if (cached) return cached.identity
    const identity = review(kubernetes, token)
    cache.set(key, { identity, untilMs: clock() + CACHE_MS })
    // A refusal or a failed request is asked again: the API server may have been away.
    identity.catch(() => cache.delete(key))
    return identity
  }
}

async function review(kubernetes: Pick<Kubernetes, 'create'>, token: string): Promise<PodIdentity> {
  const answer = await kubernetes.create<TokenReview>('/apis/authentication.k8s.io/v1/tokenreviews', {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { audiences: [AGENT_TOKEN_AUDIENCE], token },
  })
  const identity = answer.status && identityOf(answer.status)
  if (identity) return identity
  throw new StatusError(status.UNAUTHENTICATED, `The token is not one of a Pod for audience "${AGENT_TOKEN_AUDIENCE}"`)
}

function identityOf({ audiences = [], authenticated, user = {} }: Review): PodIdentity | undefined {
  if (!authenticated || !audiences.includes(AGENT_TOKEN_AUDIENCE)) return undefined
  const claim = (name: string): string => user.extra?.[`authentication.kubernetes.io/${name}`]?.[0] ?? ''
  const [, namespace = ''] = /^system:serviceaccount:([^:]+):[^:]+$/.exec(user.username ?? '') ?? []
  const identity = { namespace, podName: claim('pod-name'), podUid: claim('pod-uid') }
  return Object.values(identity).includes('') ? undefined : identity
}
