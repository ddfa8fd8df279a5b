import pino from 'pino'

/** A leveled log; one JSON object a line. Programs hand it down, nobody reaches for a global. */
export type Logger = pino.Logger

/**
 * Opens a program's log on stderr (stdout is for answers), written at once so that a crash loses nothing.
 * @param name the program's name, e.g. "tunnel"
 * @param level trace, debug, info, warn, error or silent
 */
export function openLogger(name: string, level: string): Logger {
  return pino({ base: { program: name }, level, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }))
}

/** A log that says nothing, for unit tests. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' })
}
