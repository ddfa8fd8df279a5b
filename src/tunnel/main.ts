// The tunnel: puts the cluster into this container's network namespace and keeps the session with the traffic-manager.
// Environment: TPX_CONNECTION, TPX_NAMESPACE, TPX_MANAGER_NAMESPACE, TPX_CLIENT_NAME (user@host), TPX_INSTALL_ID,
// TPX_CARRIER=unix|exec (default unix), TPX_LOG_LEVEL (default info), TPX_CLUSTER_DOMAIN (default cluster.local),
// TPX_FALLBACK_NAMESERVERS (ip:port,…).
import { asTpxError } from '../base/error.ts'
import { giveBackWhenIdle } from '../base/idle-memory.ts'
import { openLogger } from '../base/logger.ts'
import { trimHeap } from './libc.ts'
import { readSettings } from './settings.ts'
import { startTunnel } from './start-tunnel.ts'

async function main(): Promise<void> {
  const settings = readSettings(process.env)
  const logger = openLogger('tunnel', settings.logLevel)
  const tunnel = await startTunnel(settings, logger, () => end())
  giveBackWhenIdle(async () => trimHeap())
  let ending = false
  const end = (): void => {
    if (ending) return
    ending = true
    void tunnel.stop().finally(() => process.exit(0))
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, end)
}

main().catch((error: unknown) => {
  const { code, message } = asTpxError(error)
  process.stderr.write(`${code}: ${message}\n`)
  process.exit(1)
})
