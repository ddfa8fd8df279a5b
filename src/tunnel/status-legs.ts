import { StateClock } from '../base/state-clock.ts'
import type { TpxError } from '../base/error.ts'
import type { Leg, StatusLeg } from '../wire/control.ts'
import type { Attachments } from './attachments.ts'
import type { DataSession } from './data-session.ts'
import type { ManagerSession } from './manager-session.ts'
import type { Readiness } from './readiness.ts'

/** How exact "since" is. */
const LOOK_MS = 1000

type Parts = { attachments: Attachments; data: DataSession; manager: ManagerSession; readiness: Readiness }

const round = (ms: number): number => Math.round(ms * 100) / 100

/** What is done about a lost session. @param nextTryAt by performance.now(); null while a try runs */
export function describeRetry(nextTryAt: number | null, now: number = performance.now()): string {
  const waitMs = nextTryAt === null ? 0 : nextTryAt - now
  return waitMs > 0 ? `reconnecting, next try in ${(waitMs / 1000).toFixed(1)} s` : 'reconnecting'
}

/** The legs that the tunnel knows of: the manager, the data stream, this namespace's routes and DNS, the agents of each attachment. */
export class StatusLegs implements Disposable {
  readonly #clock = new StateClock()
  readonly #parts: Parts
  readonly #timer: NodeJS.Timeout

  constructor(parts: Parts) {
    this.#parts = parts
    this.#timer = setInterval(() => this.list(), LOOK_MS).unref()
  }

  list(): StatusLeg[] {
    const legs = [this.#manager(), this.#data(), this.#network(), ...this.#agents()]
    return legs.map((leg) => ({ ...leg, since: this.#clock.since(leg.name, leg.state) }))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #manager(): StatusLeg {
    const { lastAnswerAt, nextTryAt, roundTripMs, state } = this.#parts.manager
    const { error, leg } = state.value
    return {
      name: 'manager',
      ...whyNot(leg, error),
      ...(leg.state === 'up' ? {} : { doing: describeRetry(nextTryAt) }),
      ...proofOf(lastAnswerAt, roundTripMs),
    }
  }

  #data(): StatusLeg {
    const { error, isUp, mux } = this.#parts.data.state.value
    const proof = proofOf(mux?.pipe.state.heardAt ?? null, mux?.pipe.state.roundTripMs ?? null)
    if (isUp) return { name: 'data', state: 'up', ...proof }
    const doing = mux && mux.size > 0 ? `reconnecting; ${mux.size} open connections wait for it` : 'reconnecting'
    return { detail: error?.message ?? 'Opening the data stream', doing, name: 'data', ...proof, state: error ? 'down' : 'connecting' }
  }

  #network(): StatusLeg {
    const detail = this.#parts.readiness.missingHere()
    return detail === undefined ? { name: 'network', state: 'up' } : { detail, name: 'network', state: 'connecting' }
  }

  #agents(): StatusLeg[] {
    return this.#parts.attachments.reaches().map(({ detail, name }) => {
      const isUp = detail === undefined
      return { name: `agents of ${name}`, ...(isUp ? {} : { detail, doing: 'reconnecting' }), state: isUp ? 'up' : 'connecting' }
    })
  }
}

/** @param at when something last came back, by performance.now() */
function proofOf(at: number | null, roundTripMs: number | null): Pick<StatusLeg, 'lastProvenMs' | 'roundTripMs'> {
  return {
    ...(at === null ? {} : { lastProvenMs: Math.round(performance.now() - at) }),
    ...(roundTripMs === null ? {} : { roundTripMs: round(roundTripMs) }),
  }
}

function whyNot({ detail, state }: Leg, error: TpxError | null): Pick<StatusLeg, 'detail' | 'next' | 'state'> {
  if (state === 'up') return { state }
  return { detail: detail ?? 'Waiting for the traffic-manager', state, ...(error?.hint ? { next: error.hint } : {}) }
}
