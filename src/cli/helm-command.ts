import type { Command } from '@oclif/core'
import { TpxCommand } from './base-command.ts'
import { abortOnSignal } from './interrupt.ts'

/** Base of the commands about the traffic-manager's installation. */
export abstract class HelmCommand<T extends typeof Command> extends TpxCommand<T> {
  /** What such a command has besides its flags; from now on Ctrl-C is for the command to answer. */
  protected helmOptions(): {
    onProgress: (text: string) => void
    onWarnings: (texts: readonly string[]) => void
    root: string
    signal: AbortSignal
  } {
    return {
      onProgress: (text) => this.progress(text),
      onWarnings: (texts) => this.warnAll(texts),
      root: this.config.root,
      signal: abortOnSignal(),
    }
  }
}
