import 'reflect-metadata' // @peculiar/x509 asks for it before it is loaded itself
import { createPrivateKey, KeyObject, webcrypto, X509Certificate } from 'node:crypto'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  AuthorityKeyIdentifierExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { TpxError } from '../base/error.ts'
import type { SecretAccess, WebhookAccess } from './cluster-access.ts'
import { type JsonPatchOperation, pointer } from './json-patch.ts'

/** PEM texts: the CA's certificate, the serving certificate that it signed, and that one's key (PKCS #8). */
export type Certificates = { ca: string; cert: string; key: string }

const SECRET = 'mutator-webhook-tls'
const FIELDS = { ca: 'ca.crt', cert: 'tls.crt', key: 'tls.key' } as const
const COMMON_NAME = 'agent-injector'
const DAY_MS = 86_400_000
const CA_DAYS = 3650
const LEAF_DAYS = 365
const RENEW_DAYS = 30
/** The API server's clock may be behind ours. */
const CLOCK_SKEW_MS = 3_600_000
const ALGORITHM = { hash: 'SHA-256', name: 'ECDSA', namedCurve: 'P-256' }
const TRIES = 5

/** The DNS names at which API server and agents reach the manager. */
export function certificateNames(namespace: string): string[] {
  return ['agent-injector', 'traffic-manager'].flatMap((service) => [`${service}.${namespace}`, `${service}.${namespace}.svc`])
}

/**
 * The manager's certificates, kept in the Secret `mutator-webhook-tls` of its namespace, which the chart creates empty.
 * They are made anew when they are missing, wrong or within 30 days of their end. The CA's key is forgotten at once:
 * nothing else is ever to be signed by it.
 * @throws TpxError CHART_INVALID when there is no such Secret; KUBERNETES_*
 */
export async function loadCertificates({ namespace, secrets }: { namespace: string; secrets: SecretAccess }): Promise<Certificates> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const secret = await secrets.readSecret(namespace, SECRET)
    if (!secret) {
      throw new TpxError('CHART_INVALID', `Namespace "${namespace}" has no Secret "${SECRET}"`, {
        hint: 'Install the chart again: it creates the Secret',
      })
    }

    const kept = readCertificates(secret.data)
    if (kept && areUsable(kept, certificateNames(namespace))) return kept
    const made = await makeCertificates(certificateNames(namespace))
    const data = Object.fromEntries(Object.entries(FIELDS).map(([field, key]) => [key, toBase64(made[field as keyof Certificates])]))
    // Another manager that starts at the same time may win: then its certificates count.
    if (await secrets.replaceSecret({ ...secret, data: { ...secret.data, ...data } })) return made
  }

  throw new TpxError('KUBERNETES_UNREACHABLE', `Secret "${SECRET}" in namespace "${namespace}" changed ${TRIES} times while it was written`)
}

/**
 * Makes the API server trust the webhook's certificate.
 * @returns false when there is no such configuration: an installation without the webhook
 */
export async function patchWebhookCaBundle(options: { ca: string; namespace: string; webhooks: WebhookAccess }): Promise<boolean> {
  const name = `agent-injector-webhook-${options.namespace}`
  const configuration = await options.webhooks.readWebhookConfiguration(name)
  if (!configuration) return false
  const value = toBase64(options.ca)
  const patch = (configuration.webhooks ?? []).flatMap((webhook, index): JsonPatchOperation[] => {
    const path = pointer('webhooks', index)
    if (webhook.clientConfig.caBundle === value) return []
    return [
      { op: 'test', path: `${path}/name`, value: webhook.name },
      { op: 'add', path: `${path}/clientConfig/caBundle`, value },
    ]
  })
  if (patch.length) await options.webhooks.patchWebhookConfiguration(name, patch)
  return true
}

/** A fresh CA and a serving certificate of it: ECDSA P-256, keys from the system's random source. */
export async function makeCertificates(names: readonly string[], now: Date = new Date()): Promise<Certificates> {
  const [caKeys, leafKeys] = await Promise.all([generateKeys(), generateKeys()])
  const caName = `CN=${COMMON_NAME}-ca`
  const notBefore = new Date(now.getTime() - CLOCK_SKEW_MS)
  const ca = await X509CertificateGenerator.createSelfSigned(
    {
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(caKeys.publicKey, false, webcrypto),
      ],
      keys: caKeys,
      name: caName,
      notAfter: new Date(now.getTime() + CA_DAYS * DAY_MS),
      notBefore,
      signingAlgorithm: ALGORITHM,
    },
    webcrypto,
  )
  const leaf = await X509CertificateGenerator.create(
    {
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value }))),
        await AuthorityKeyIdentifierExtension.create(caKeys.publicKey, false, webcrypto),
        await SubjectKeyIdentifierExtension.create(leafKeys.publicKey, false, webcrypto),
      ],
      issuer: caName,
      notAfter: new Date(now.getTime() + LEAF_DAYS * DAY_MS),
      notBefore,
      publicKey: leafKeys.publicKey,
      signingAlgorithm: ALGORITHM,
      signingKey: caKeys.privateKey,
      subject: `CN=${COMMON_NAME}`,
    },
    webcrypto,
  )
  const key = KeyObject.from(leafKeys.privateKey).export({ format: 'pem', type: 'pkcs8' }).toString()
  return { ca: withLineEnd(ca.toString('pem')), cert: withLineEnd(leaf.toString('pem')), key }
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
}

function readCertificates(data: Record<string, string> | undefined): Certificates | undefined {
  const read = (key: string): string => Buffer.from(data?.[key] ?? '', 'base64').toString('utf8')
  const found = { ca: read(FIELDS.ca), cert: read(FIELDS.cert), key: read(FIELDS.key) }
  return found.ca && found.cert && found.key ? found : undefined
}

/** Tells whether the certificates fit each other and the names, and last for 30 days more. */
export function areUsable({ ca, cert, key }: Certificates, names: readonly string[], now: Date = new Date()): boolean {
  try {
    const [issuer, leaf] = [new X509Certificate(ca), new X509Certificate(cert)]
    const until = now.getTime() + RENEW_DAYS * DAY_MS
    return (
      issuer.ca &&
      leaf.checkIssued(issuer) &&
      leaf.verify(issuer.publicKey) &&
      leaf.checkPrivateKey(createPrivateKey(key)) &&
      leaf.subject === `CN=${COMMON_NAME}` &&
      names.every((name) => leaf.checkHost(name, { subject: 'never' }) !== undefined) &&
      [issuer, leaf].every(({ validFromDate, validToDate }) => validFromDate.getTime() <= now.getTime() && validToDate.getTime() > until)
    )
  } catch {
    return false
  }
}

function toBase64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64')
}

function withLineEnd(pem: string): string {
  return pem.endsWith('\n') ? pem : `${pem}\n`
}
