// The link: see README.md. A line of JSON on stdout tells how the start went; lines of progress may come before it. Then stdout is closed.
import { asTpxError, messageOf } from '../base/error.ts'
import { openLogger } from '../base/logger.ts'
import { readSettings } from './settings.ts'
import { readLinkEnvironment } from '../wire/link-environment.ts'
import { adoptEnvironment } from './environment.ts'
import { Link } from './link.ts'
import { notify, tell } from './start-report.ts'
import { AlreadyRunning } from './unix-socket.ts'

function fail(error: unknown): never {
  tell({ error: asTpxError(error).toRecord() })
  process.exit(1)
}

async function main(): Promise<void> {
  const settings = readSettings(process.argv.slice(2))
  const logger = openLogger('link', settings.logLevel)
  const quit = (): void => {
    link.stop()
    logger.info('link ends')
    process.exit(0)
  }
  const onNotice = (text: string): void => {
    logger.info({ text: text.trimEnd() }, 'credential plugin')
    notify(text)
  }
  // The connection may have ended since the link before this one died: then its directory is gone.
  if (settings.again) {
    const variables = readLinkEnvironment(settings.runtimeDir)
    if (!variables) process.exit(0)
    adoptEnvironment(variables)
  }
  const link = new Link(settings, { logger, onNotice, quit })
  process
    .on('SIGTERM', quit)
    .on('SIGINT', quit)
    .on('SIGHUP', () => {})
  process.on('uncaughtException', (error) => {
    logger.fatal({ error: error.stack }, 'bug')
    link.stop()
    process.exit(70)
  })
  try {
    const facts = await link.start()
    tell({ ready: true, ...facts, pid: process.pid })
    logger.info(facts, 'link is ready')
  } catch (error) {
    link.stop()
    // Somebody else has started one in place of the dead one: nothing is left to do.
    if (settings.again && error instanceof AlreadyRunning) process.exit(0)
    logger.error({ reason: messageOf(error) }, 'link does not start')
    fail(error)
  }
}

main().catch(fail)
