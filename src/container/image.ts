import { VERSION } from '../base/version.ts'
import type { ClientConfig } from '../wire/client-config.ts'
import type { ContainerEngine } from './container-engine.ts'
import { LABEL } from './labels.ts'

/** Image of holder, tunnel and mount containers: TPX_TUNNEL_IMAGE, what is configured, or this version's. */
export function tunnelImage({ registry, tunnelImage }: ClientConfig['images'] = {}): string {
  return process.env['TPX_TUNNEL_IMAGE'] || tunnelImage || `${registry ? `${registry}/` : ''}tpx/tunnel:${VERSION}`
}

/** Image that the containers of a connection were made of, so that later ones need no other. */
export async function imageOfConnection(engine: ContainerEngine, connection: string): Promise<string> {
  const containers = await engine.listContainers({ [LABEL.connection]: connection })
  const find = (role: string) => containers.find(({ labels }) => labels[LABEL.role] === role)
  // The tunnel's may be newer: an upgrade leaves the holder alone.
  const source = find('tunnel') ?? find('holder')
  return (source && (await engine.inspect(source.id)).Config.Image) || tunnelImage()
}

/** Image of traffic-manager and traffic-agent; TPX_TRAFFIC_IMAGE overrides it. */
export function trafficImage(): string {
  return process.env['TPX_TRAFFIC_IMAGE'] ?? `tpx/traffic:${VERSION}`
}
