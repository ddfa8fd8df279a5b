// The traffic-manager: one Deployment in the cluster. Settings: settings.ts.
import { existsSync } from 'node:fs'
import type { KubeConfig } from '@kubernetes/client-node'
import { asTpxError } from '../base/error.ts'
import { giveBackWhenIdle } from '../base/idle-memory.ts'
import { type Logger, openLogger } from '../base/logger.ts'
import { inClusterConfig, SERVICE_ACCOUNT_DIR } from './in-cluster-config.ts'
import { startProgram } from './program.ts'
import { parseSettings } from './settings.ts'

/** Longest wait for connections to end; the kubelet kills after 30 s. */
const STOP_TIMEOUT_MS = 5_000

/** Kept out of the bundle, of which it would be three quarters: only trials in a checkout need it. */
const CLIENT_NODE: string = '@kubernetes/client-node'

/** In a Pod its ServiceAccount, outside of one (for trials) the kubeconfig. */
async function kubeConfig(): Promise<KubeConfig> {
  if (existsSync(SERVICE_ACCOUNT_DIR)) return inClusterConfig(process.env)
  const { KubeConfig } = (await import(CLIENT_NODE)) as typeof import('@kubernetes/client-node')
  const config = new KubeConfig()
  config.loadFromDefault()
  return config
}

function fail(logger: Logger, error: unknown): never {
  const { code, hint, message, stack } = asTpxError(error)
  logger.fatal({ code, hint, ...(code === 'BUG' ? { stack } : {}) }, message)
  process.exit(1)
}

async function main(logger: Logger): Promise<void> {
  const settings = parseSettings(process.env)
  logger.level = settings.logLevel
  const program = await startProgram(settings, await kubeConfig(), logger)
  giveBackWhenIdle(async () => (await import('../outbound/libc.ts')).trimHeap())
  const stop = (): void => {
    setTimeout(() => process.exit(0), STOP_TIMEOUT_MS).unref()
    program.close().then(
      () => process.exit(0),
      (error: unknown) => fail(logger, error),
    )
  }
  process.once('SIGTERM', stop).once('SIGINT', stop)
}

const logger = openLogger('traffic-manager', 'info')
main(logger).catch((error: unknown) => fail(logger, error))
