import { answerRequest } from '../outbound/answer-request.ts'
import type { Dialer } from '../outbound/dialer.ts'
import type { Mux } from '../wire/mux.ts'

/** Dials what a client's tunnel asks for, until the mux or the client's session ends. */
export function serveData(mux: Mux, dialer: Dialer, ended: AbortSignal): void {
  mux.onOffer = (offer) => void answerRequest(offer, dialer)
  const end = (): void => mux.destroy(new Error('The session ended'))
  mux.onClose = () => ended.removeEventListener('abort', end)
  ended.addEventListener('abort', end, { once: true })
  if (ended.aborted) end()
}
