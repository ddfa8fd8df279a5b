import { messageOf } from '../base/error.ts'
import { giveBackWhenIdle } from '../base/idle-memory.ts'
import { openLogger } from '../base/logger.ts'
import { startAgent } from './agent.ts'
import { parseSettings, type Settings } from './settings.ts'

function readSettings(): Settings {
  try {
    return parseSettings(process.env)
  } catch (error) {
    openLogger('traffic-agent', 'error').fatal(messageOf(error))
    process.exit(2)
  }
}

async function main(): Promise<void> {
  const settings = readSettings()
  const logger = openLogger('traffic-agent', settings.config.logLevel)
  try {
    const agent = await startAgent(settings, logger)
    giveBackWhenIdle(async () => (await import('../outbound/libc.ts')).trimHeap())
    const stop = (signal: string): void => {
      logger.info({ signal }, 'stopping')
      void agent.stop().then(() => process.exit(0))
    }
    process.once('SIGTERM', stop).once('SIGINT', stop)
  } catch (error) {
    logger.fatal({ error: messageOf(error) }, 'cannot start')
    process.exit(1)
  }
}

void main()
