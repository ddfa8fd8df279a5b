import net from 'node:net'

/** What a peer saw of a connection: the bytes, and how it ended. */
export type Seen = { bytes: string; end: 'fin' | 'reset' }

/** A TCP server on loopback that hands out its connections. */
export type TestServer = AsyncDisposable & { next(): Promise<net.Socket>; port: number; sockets: net.Socket[] }

/** Listens on a free port. @param onSocket what each connection gets */
export async function listen(onSocket: (socket: net.Socket) => void = () => {}, host = '127.0.0.1'): Promise<TestServer> {
  const sockets: net.Socket[] = []
  const waiting: ((socket: net.Socket) => void)[] = []
  const arrived: net.Socket[] = []
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.push(socket.on('error', () => {}))
    onSocket(socket)
    const taker = waiting.shift()
    if (taker) taker(socket)
    else arrived.push(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return {
    next: async () => arrived.shift() ?? new Promise((resolve) => waiting.push(resolve)),
    port: (server.address() as net.AddressInfo).port,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Answers every connection with its name and what it got, after the caller's FIN; then ends. */
export function echoServer(name: string): Promise<TestServer> {
  return listen((socket) => {
    void readAll(socket).then(({ bytes, end }) => {
      if (end === 'fin') socket.end(`${name}:${bytes}`)
    })
  })
}

/** Connects, half-open allowed. @throws the system error */
export function connect(port: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ allowHalfOpen: true, host: '127.0.0.1', noDelay: true, port })
    socket.once('error', reject).once('connect', () => {
      socket.off('error', reject).on('error', () => {})
      resolve(socket)
    })
  })
}

/** Reads until the other side ends, and tells how. */
export function readAll(socket: net.Socket): Promise<Seen> {
  return new Promise((resolve) => {
    let bytes = ''
    socket.on('data', (chunk: Buffer) => (bytes += chunk.toString('latin1')))
    socket.once('end', () => resolve({ bytes, end: 'fin' }))
    socket.once('error', () => resolve({ bytes, end: 'reset' }))
    socket.once('close', (hadError) => resolve({ bytes, end: hadError ? 'reset' : 'fin' }))
  })
}

/** Reads exactly `length` bytes and leaves the socket paused. */
export async function readBytes(socket: net.Socket, length: number): Promise<string> {
  for (;;) {
    const chunk = socket.read(length) as Buffer | null
    if (chunk) return chunk.toString('latin1')
    if (socket.destroyed || socket.readableEnded) throw new Error('Socket ended')
    await new Promise((resolve) => socket.once('readable', resolve))
  }
}

/** Connects, sends, half-closes and reads the answer. */
export async function ask(port: number, text: string): Promise<Seen> {
  const socket = await connect(port)
  const seen = readAll(socket)
  socket.end(text)
  return seen
}

/** A port on which nothing listens. */
export async function closedPort(): Promise<number> {
  const server = await listen()
  await server[Symbol.asyncDispose]()
  return server.port
}

/** Waits until something is true, for at most 5 s. */
export async function until(what: () => boolean, timeoutMs = 5000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!what()) {
    if (performance.now() > end) throw new Error('Did not happen in time')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
