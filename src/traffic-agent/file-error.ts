/** A failed file operation with a system error code such as ENOENT. The text never holds a path of the agent. */
export class FileError extends Error {
  readonly code: string

  constructor(code: string) {
    super(code)
    this.name = 'FileError'
    this.code = code
  }
}
