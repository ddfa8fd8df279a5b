import { Resolver } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import { systemCode } from '../base/error.ts'

/** What of node:dns is needed; a test gives its own. */
export type AddressResolver = Pick<Resolver, 'resolve4' | 'resolve6'>

/** The search list of a resolv.conf (resolv.conf(5): the last `search` line counts). */
export function searchList(path = '/etc/resolv.conf'): string[] {
  try {
    const lines = readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('search '))
    return lines.at(-1)?.trim().split(/\s+/).slice(1) ?? []
  } catch {
    return []
  }
}

/** A resolver that gives up within about 2 s. */
export function openResolver(): AddressResolver {
  return new Resolver({ timeout: 1000, tries: 2 })
}

/**
 * Addresses of a name as the Pod sees them, raw (4 or 16 bytes each); empty when there is no such name or address.
 * One-label names are looked up below the search list only, others as they are first.
 * @throws the resolver's error when the name server does not answer
 */
export async function lookupName(name: string, resolver: AddressResolver, search: readonly string[]): Promise<Buffer[]> {
  const bare = name.replace(/\.$/, '')
  const below = search.map((domain) => `${bare}.${domain}`)
  for (const candidate of bare.includes('.') ? [bare, ...below] : below) {
    const [v4, v6] = await Promise.all([addressesOf(resolver.resolve4(candidate)), addressesOf(resolver.resolve6(candidate))])
    if (v4.length + v6.length > 0) return [...v4.map((address) => ipv4Bytes(address)), ...v6.map((address) => ipv6Bytes(address))]
  }
  return []
}

async function addressesOf(answer: Promise<string[]>): Promise<string[]> {
  try {
    return await answer
  } catch (error) {
    if (systemCode(error) === 'ENOTFOUND' || systemCode(error) === 'ENODATA') return []
    throw error
  }
}

function ipv4Bytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number))
}

/** RFC 4291 §2.2, also with a trailing IPv4 address. */
function ipv6Bytes(address: string): Buffer {
  const hex = address.replace(/[\d.]+\.\d+$/, (v4) =>
    ipv4Bytes(v4)
      .toString('hex')
      .replace(/^(.{4})/, '$1:'),
  )
  const [head = '', tail] = hex.split('::')
  const groups = (part: string): string[] => part.split(':').filter((group) => group !== '')
  const [before, after] = [groups(head), groups(tail ?? '')]
  const all = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after]
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex')
}
