// What one tpx end asks of another on a mux, one line: "tcp 10.96.0.10:53 198.18.0.1:4711", that is protocol, destination, and who
// asks (absent where nobody knows). TCP carries bytes: END is a FIN, a reset a reset. UDP carries datagrams, each behind its length
// (two bytes, big-endian); ICMP carries echo-message.ts the same way, and its port is 0.

/** An address in text (IPv6 without brackets) or a name, and a port. */
export type HostPort = { host: string; port: number }

/** A wish to be connected. */
export type DataRequest = { destination: HostPort; protocol: 'icmp' | 'tcp' | 'udp'; source?: HostPort | undefined }

/** A request as its line. */
export function formatRequest({ destination, protocol, source }: DataRequest): string {
  const words = [protocol, formatAuthority(destination.host, destination.port)]
  return [...words, ...(source ? [formatAuthority(source.host, source.port)] : [])].join(' ')
}

/** The reverse of {@link formatRequest}; undefined for what is none. */
export function parseRequest(line: string): DataRequest | undefined {
  const [protocol, destination, source] = line.split(' ')
  if ((protocol !== 'icmp' && protocol !== 'tcp' && protocol !== 'udp') || !destination) return undefined
  return { destination: parseAuthority(destination), protocol, source: source ? parseAuthority(source) : undefined }
}

/** `host:port` of an authority (RFC 3986 §3.2); brackets of IPv6 removed. */
export function parseAuthority(authority: string): HostPort {
  const at = authority.lastIndexOf(':')
  return { host: authority.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(authority.slice(at + 1)) }
}

/** The reverse of {@link parseAuthority}. */
export function formatAuthority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
