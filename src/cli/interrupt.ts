/** Aborts at the first Ctrl-C or SIGTERM, so that a command can take back what it began; a second one ends the process. */
export function abortOnSignal(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort())
  return controller.signal
}
