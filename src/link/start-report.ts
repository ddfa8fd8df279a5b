// What the link says on stdout while it starts: lines of progress, then one that tells how the start went.
import { closeSync, openSync, writeSync } from 'node:fs'

/** The CLI reads one line; a descriptor left open would keep its pipe alive. */
export function tell(answer: object): void {
  try {
    writeSync(1, `${JSON.stringify(answer)}\n`)
  } catch {
    // Nobody reads any more: the link goes on.
  }

  closeSync(1)
  openSync('/dev/null', 'w') // takes the number 1, so that no socket gets it
}

/** What a credential plugin says while the user waits; later it is for the log only. */
export function notify(text: string): void {
  try {
    writeSync(1, `${JSON.stringify({ progress: text.trimEnd() })}\n`)
  } catch {
    // Nobody reads any more.
  }
}
