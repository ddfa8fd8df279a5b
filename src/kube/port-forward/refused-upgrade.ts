/** A transport that is not to be had here: the answer to an upgrade was something other than 101. The next one may work. */
export class RefusedUpgrade extends Error {
  readonly body: string
  /** HTTP status; 0 where the connection ended or the wrong protocol was chosen. */
  readonly status: number
  constructor(status: number, body: string) {
    super(status ? `HTTP ${status} instead of an upgrade` : body)
    this.name = 'RefusedUpgrade'
    this.status = status
    this.body = body
  }
}
