import { type ErrorCode, ERROR_CODES, EXIT_STATUS, isErrorCode } from './error-codes.ts'

/** The shape in which an error crosses a process border. */
export type ErrorRecord = { code: ErrorCode; hint?: string; message: string }

/** A failure that a user can meet: a stable code, one plain sentence, and the next step. */
export class TpxError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined

  /**
   * @param code one of the table in error-codes.ts
   * @param message a sentence that begins with a capital, quotes values and has no full stop
   * @param options `hint`: what to do next, best a command; `cause`: the error behind it
   */
  constructor(code: ErrorCode, message: string, options: { cause?: unknown; hint?: string | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'TpxError'
    this.code = code
    this.hint = options.hint
  }

  /** The exit status that the CLI ends with. */
  get exitStatus(): number {
    return EXIT_STATUS[ERROR_CODES[this.code][0]]
  }

  /** Only what may cross a process border: no stack, no cause. */
  toRecord(): ErrorRecord {
    return { code: this.code, message: this.message, ...(this.hint ? { hint: this.hint } : {}) }
  }
}

/** Turns what another process sent into an error again; anything unknown becomes a BUG. */
export function fromRecord(record: unknown): TpxError {
  const { code, hint, message } = (record ?? {}) as Partial<Record<string, unknown>>
  return new TpxError(isErrorCode(code) ? code : 'BUG', typeof message === 'string' ? message : 'Unknown error', {
    hint: typeof hint === 'string' ? hint : undefined,
  })
}

/** Anything thrown, as a TpxError; what was not foreseen becomes a BUG with its stack as cause. */
export function asTpxError(error: unknown): TpxError {
  return error instanceof TpxError ? error : new TpxError('BUG', messageOf(error), { cause: error })
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The `code` of a Node system error ('ECONNREFUSED', 'ENOENT', ...), or undefined. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}
