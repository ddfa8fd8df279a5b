import { TpxError } from '../base/error.ts'

/** Which port of the Service is meant, and at which port of the connection's network namespace it arrives. */
export type PortArgument = { localPort: number | null; portIdentifier: string | null }

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535
/** Port names (Kubernetes IANA_SVC_NAME) or numbers. */
const isIdentifier = (text: string): boolean => isPort(text) || /^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/.test(text)

/** Reads `PORT`, `PORT:IDENTIFIER` or `IDENTIFIER` (a name). @throws TpxError USAGE */
export function parsePortArgument(text: string | undefined): PortArgument {
  if (text === undefined) return { localPort: null, portIdentifier: null }
  const [first = '', second, ...more] = text.split(':')
  if (more.length === 0 && second === undefined && isPort(first)) return { localPort: Number(first), portIdentifier: null }
  if (more.length === 0 && second === undefined && isIdentifier(first)) return { localPort: null, portIdentifier: first }
  if (more.length === 0 && second !== undefined && isPort(first) && isIdentifier(second))
    return { localPort: Number(first), portIdentifier: second }
  throw new TpxError('USAGE', `Not a port: "${text}"`, {
    hint: 'Write PORT or PORT:IDENTIFIER, where IDENTIFIER is the name or number of a port of the Service: 8080:http',
  })
}

/** Reads `WORKLOAD`, `WORKLOAD:PORT` or `WORKLOAD:PORT:IDENTIFIER`. @throws TpxError USAGE */
export function parseWorkloadArgument(text: string): PortArgument & { workload: string } {
  const at = text.indexOf(':')
  const workload = at < 0 ? text : text.slice(0, at)
  if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(workload))
    throw new TpxError('USAGE', `Not the name of a workload: "${workload}"`, {
      hint: 'Write WORKLOAD or WORKLOAD:PORT, for example web-app:8080',
    })
  return { workload, ...parsePortArgument(at < 0 ? undefined : text.slice(at + 1)) }
}
