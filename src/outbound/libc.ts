// The system calls that Node does not offer. Imported by the first ping only: the native library takes memory.
import koffi from 'koffi'

const library = koffi.load(null)

type SystemCall<Args extends unknown[]> = (...args: Args) => number

/** @see socket(2) */
export const socket = library.func('int socket(int domain, int type, int protocol)') as SystemCall<[number, number, number]>
/** @see connect(2) */
export const connect = library.func('int connect(int fd, void *address, unsigned int length)') as SystemCall<[number, Uint8Array, number]>
/** @see send(2) */
export const send = library.func('long send(int fd, void *data, unsigned long length, int flags)') as SystemCall<
  [number, Uint8Array, number, number]
>
/** @see recv(2) */
export const receive = library.func('long recv(int fd, void *data, unsigned long length, int flags)') as SystemCall<
  [number, Uint8Array, number, number]
>
/** @see setsockopt(2) */
export const setsockopt = library.func('int setsockopt(int fd, int level, int name, void *value, unsigned int length)') as SystemCall<
  [number, number, number, Uint8Array, number]
>

// Reversed, so that of two names for a number (EAGAIN, EWOULDBLOCK) the first one stays.
const ERRNO_NAMES = new Map(
  Object.entries(koffi.os.errno)
    .toReversed()
    .map(([name, value]) => [value, name]),
)

/** Name of the last call's errno. Read it before anything else runs. */
export function errnoName(): string {
  return ERRNO_NAMES.get(koffi.errno()) ?? 'EIO'
}

/** Calls whenever the descriptor has something to read, or an error. */
export function poll(fd: number, onReadable: () => void): { close(): void } {
  return koffi.node.poll(fd, { readable: true }, onReadable)
}

/** Gives freed memory back to the system. Looked up by the call, because only the GNU library has it. @see malloc_trim(3) */
export function trimHeap(): void {
  library.func('int malloc_trim(unsigned long pad)')(0)
}
