import http from 'node:http'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ENGINE = '/var/run/docker.sock'

/** An engine of its own kind: the real one behind a socket that changes what containers are created with. */
export async function dockerProxy(change: (body: Record<string, unknown>) => void): Promise<AsyncDisposable & { host: string }> {
  const path = join(mkdtempSync(join(tmpdir(), 'tpx-proxy-')), 'docker.sock')
  const server = http.createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      let body = Buffer.concat(chunks)
      if (request.method === 'POST' && request.url?.includes('/containers/create')) {
        const parsed = JSON.parse(body.toString()) as Record<string, unknown>
        change(parsed)
        body = Buffer.from(JSON.stringify(parsed))
      }
      const headers = { ...request.headers, 'content-length': String(body.length) }
      const ahead = http.request({ headers, method: request.method, path: request.url, socketPath: ENGINE }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      })
      ahead.on('error', () => response.destroy())
      response.on('close', () => ahead.destroy())
      ahead.end(body)
    })()
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    host: `unix://${path}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
