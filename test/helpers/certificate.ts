import 'reflect-metadata'
import { KeyObject, webcrypto } from 'node:crypto'
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'

const ALGORITHM = { hash: 'SHA-256', name: 'ECDSA', namedCurve: 'P-256' }

/** A certificate for 127.0.0.1 that signed itself, and its key; PEM. @param notAfter the end of its life */
export async function selfSigned(notAfter: Date): Promise<{ cert: string; key: string }> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    extensions: [new SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])],
    keys,
    name: 'CN=tpx-test',
    notAfter,
    notBefore: new Date(notAfter.getTime() - 86_400_000),
    signingAlgorithm: ALGORITHM,
  })
  const key = KeyObject.from(keys.privateKey).export({ format: 'pem', type: 'pkcs8' }).toString()
  return { cert: certificate.toString('pem'), key }
}
