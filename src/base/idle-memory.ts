import v8 from 'node:v8'
import vm from 'node:vm'

const LOOK_MS = 5000
/** A process that uses less of a CPU than this is idle. */
const IDLE_PART = 0.1
/** What it holds beyond its last low mark before anything is done, bytes. */
const SLACK_BYTES = 48 << 20

/** What is looked at, and done; for tests. */
export type IdleMemoryParts = {
  collect: () => void
  cpuMicroseconds: () => number
  residentBytes: () => number
  /** Returns freed memory to the system: malloc_trim(3). Without it the C library keeps what it freed. */
  trim: () => Promise<void>
}

/** After bulk data: V8 keeps Buffers that nobody needs until it needs the room, and the C library keeps what V8 gave back. */
export class IdleMemory {
  readonly #parts: IdleMemoryParts
  #cpu: number
  #low: number

  constructor(parts: IdleMemoryParts) {
    this.#parts = parts
    this.#cpu = parts.cpuMicroseconds()
    this.#low = parts.residentBytes()
  }

  /** To be called every `elapsedMs`; answers whether memory was given back. */
  async look(elapsedMs: number): Promise<boolean> {
    const { collect, cpuMicroseconds, residentBytes, trim } = this.#parts
    const cpu = cpuMicroseconds()
    const isIdle = (cpu - this.#cpu) / 1000 < elapsedMs * IDLE_PART
    this.#cpu = cpu
    if (!isIdle || residentBytes() < this.#low + SLACK_BYTES) return false
    collect()
    await trim()
    this.#low = residentBytes()
    this.#cpu = cpuMicroseconds()
    return true
  }
}

/** Gives memory back for as long as the process runs. */
export function giveBackWhenIdle(trim: () => Promise<void>): void {
  let collect: (() => void) | undefined
  const memory = new IdleMemory({
    collect: () => (collect ??= findCollector())(),
    cpuMicroseconds: () => {
      const { system, user } = process.cpuUsage()
      return system + user
    },
    residentBytes: () => process.memoryUsage.rss(),
    trim,
  })
  setInterval(() => void memory.look(LOOK_MS).catch(() => {}), LOOK_MS).unref()
}

/** V8's own, which Node hides unless it was started with --expose-gc. Twice, because the first finds Buffers dead, and the second frees them. */
function findCollector(): () => void {
  v8.setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc') as () => void
  v8.setFlagsFromString('--no-expose-gc')
  return () => {
    gc()
    gc()
  }
}
