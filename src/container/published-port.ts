import { TpxError } from '../base/error.ts'

/** One binding in Engine API words: `8080/tcp` -> host address and port (empty: any). */
export type PublishedPort = { containerPort: string; hostIp: string; hostPort: string }

const range = (text: string): number[] => {
  const [first = NaN, last = first] = text.split('-').map(Number)
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

/**
 * Reads the value of `docker run -p`: `[[HOST-ADDRESS:]HOST-PORT:]CONTAINER-PORT[/PROTOCOL]`; ports may be ranges,
 * an IPv6 address stands in brackets.
 * @throws TpxError USAGE
 */
export function parsePublishedPort(text: string): PublishedPort[] {
  const [, address = '', hostPorts = '', ports = '', protocol = 'tcp'] =
    /^(?:(?:(\[[0-9a-f:]+\]|[\d.]*):)?(\d*(?:-\d+)?):)?(\d+(?:-\d+)?)(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? []
  const container = range(ports)
  const host = hostPorts ? range(hostPorts) : []
  if (!ports || container.some((port) => port < 1 || port > 65_535) || (host.length > 0 && host.length !== container.length))
    throw new TpxError('USAGE', `Not a port to publish: "${text}"`, {
      hint: 'Write -p HOST-PORT:CONTAINER-PORT, for example -p 127.0.0.1:8080:80',
    })
  return container.map((port, i) => ({
    containerPort: `${port}/${protocol.toLowerCase()}`,
    hostIp: address.replaceAll(/[[\]]/g, ''),
    hostPort: host[i] === undefined ? '' : String(host[i]),
  }))
}
