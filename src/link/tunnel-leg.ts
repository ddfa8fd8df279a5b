import { StateClock } from '../base/state-clock.ts'
import type { StatusLeg } from '../wire/control.ts'
import type { Guardian } from './guardian.ts'
import type { TunnelControl } from './tunnel-control.ts'

type Parts = { container: string; control: Pick<TunnelControl, 'isUp'>; guardian: Pick<Guardian, 'tunnel'> }

/** Tells whether the tunnel is there, from what the link sees: its control stream and its container. */
export class TunnelLeg {
  readonly #clock = new StateClock()
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  leg(): StatusLeg {
    const leg = this.#describe()
    return { name: 'tunnel', ...leg, since: this.#clock.since('tunnel', leg.state) }
  }

  #describe(): Omit<StatusLeg, 'name'> {
    const { container, control, guardian } = this.#parts
    const { restartInMs, state } = guardian.tunnel
    // The engine tells of the end a little later than the stream, and of a start a little earlier.
    if (control.isUp) return { state: 'up' }
    switch (state) {
      case 'running':
        return { detail: `The tunnel container "${container}" has not called yet`, doing: 'waiting for it', state: 'connecting' }
      case 'dead':
        return {
          detail: `The tunnel container "${container}" ended`,
          doing: restartInMs ? `starting it again in ${(restartInMs / 1000).toFixed(1)} s` : 'starting it again',
          next: `docker logs ${container}`,
          state: 'down',
        }
      case 'absent':
        return { detail: `There is no tunnel container "${container}"`, next: 'tpx connect', state: 'down' }
      case undefined:
        return { detail: 'The Docker Engine has not told yet how the tunnel container is', state: 'connecting' }
    }
  }
}
