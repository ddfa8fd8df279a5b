/**
 * The proxy that the environment asks for (HTTPS_PROXY, HTTP_PROXY, NO_PROXY; lower case too), as Go's
 * httpproxy.FromEnvironment reads it, which kubectl uses: never for loopback.
 */
export function proxyFor(server: URL, env: NodeJS.ProcessEnv): string | undefined {
  const read = (name: string): string => env[name] || env[name.toLowerCase()] || ''
  const proxy = read(server.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY')
  const host = server.hostname.replace(/^\[|\]$/g, '')
  if (!proxy || host === 'localhost' || host === '::1' || host.startsWith('127.')) return undefined
  const isExempt = read('NO_PROXY')
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .some((entry) => matches(entry, host))
  if (isExempt) return undefined
  return proxy.includes('://') ? proxy : `http://${proxy}`
}

function matches(entry: string, host: string): boolean {
  if (entry === '*' || entry === host) return true
  if (entry.includes('/')) return inSubnet(entry, host)
  const suffix = entry.replace(/^\*?\.?/, '.')
  return host.endsWith(suffix)
}

/** IPv4 CIDRs only. */
function inSubnet(cidr: string, host: string): boolean {
  const [network = '', bits = ''] = cidr.split('/')
  const toNumber = (text: string): number | undefined =>
    /^\d{1,3}(\.\d{1,3}){3}$/.test(text) ? text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) : undefined
  const [a, b] = [toNumber(network), toNumber(host)]
  if (a === undefined || b === undefined) return false
  const size = 2 ** (32 - Number(bits))
  return Math.floor(a / size) === Math.floor(b / size)
}
