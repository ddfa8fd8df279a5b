import { VERSION } from '../base/version.ts'

/** Image of holder, tunnel and mount containers; TPX_TUNNEL_IMAGE overrides it (a registry's copy). */
export function tunnelImage(): string {
  return process.env['TPX_TUNNEL_IMAGE'] ?? `tpx/tunnel:${VERSION}`
}

/** Image of traffic-manager and traffic-agent; TPX_TRAFFIC_IMAGE overrides it. */
export function trafficImage(): string {
  return process.env['TPX_TRAFFIC_IMAGE'] ?? `tpx/traffic:${VERSION}`
}
