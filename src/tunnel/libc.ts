// The few system calls that Node does not offer. Kernel ABI: asm-generic values, the same on x86-64 and arm64.
import koffi from 'koffi'

const library = koffi.load(null)

type SystemCall<Args extends unknown[]> = (...args: Args) => number

/** @see ioctl(2) with a pointer argument */
export const ioctlPointer = library.func('int ioctl(int fd, unsigned long request, void *argument)') as SystemCall<
  [number, number, Uint8Array]
>
/** @see ioctl(2) with a number as argument */
export const ioctlNumber = library.func('int ioctl(int fd, unsigned long request, unsigned long value)') as SystemCall<
  [number, number, number]
>
/** @see read(2) */
export const read = library.func('long read(int fd, void *buffer, unsigned long length)') as SystemCall<[number, Uint8Array, number]>
/** @see socket(2) */
export const socket = library.func('int socket(int domain, int type, int protocol)') as SystemCall<[number, number, number]>
/** @see bind(2) */
export const bind = library.func('int bind(int fd, void *address, unsigned int length)') as SystemCall<[number, Uint8Array, number]>
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
/** @see if_nametoindex(3) */
export const interfaceIndex = library.func('unsigned int if_nametoindex(const char *name)') as SystemCall<[string]>

// Reversed, so that of two names for a number (EAGAIN, EWOULDBLOCK) the first one stays.
const ERRNO_NAMES = new Map(
  Object.entries(koffi.os.errno)
    .toReversed()
    .map(([name, value]) => [value, name]),
)

/** Name of the last call's errno, e.g. "EBUSY". Read it before anything else runs. */
export function errnoName(errno: number = koffi.errno()): string {
  return ERRNO_NAMES.get(errno) ?? `errno ${errno}`
}

/** Gives freed memory back to the system. Looked up by the call, because only the GNU library has it. @see malloc_trim(3) */
export function trimHeap(): void {
  library.func('int malloc_trim(unsigned long pad)')(0)
}
