import type { ContainerEngine } from '../container/container-engine.ts'
import { runForeground } from '../container/foreground.ts'
import type { DialFailure } from '../proxy/dial.ts'
import { openProxy } from './proxy.ts'
import { existingPlace, runTool } from './run.ts'

/** One `tpx curl`. */
export type CurlOptions = {
  engine: () => Promise<ContainerEngine>
  /** Runs curl of this image in a container; undefined: curl of this host, where there is one. */
  image: string | undefined
  onProgress: (text: string) => void
  root: string
  use: string | undefined
  /** Words of the command line of curl. */
  words: string[]
}

/** Used where neither the host has curl nor the user names an image. */
const DEFAULT_IMAGE = 'curlimages/curl:latest'

/** Exit status of curl for what went wrong behind its proxy (libcurl-errors(3)). */
const CURLE_COULDNT_RESOLVE_HOST = 6
const CURLE_COULDNT_CONNECT = 7
const CURLE_OPERATION_TIMEDOUT = 28
const CURLE_PROXY = 97
const STATUSES: Record<string, number> = {
  EAI_AGAIN: CURLE_COULDNT_RESOLVE_HOST,
  ENOTFOUND: CURLE_COULDNT_RESOLVE_HOST,
  ETIMEDOUT: CURLE_OPERATION_TIMEDOUT,
}

/**
 * Runs curl inside a connection: the host's own through a proxy of this process, so that no image is needed and files and
 * certificates are the host's; or one in a container.
 * @returns the exit status that curl would have in a Pod
 */
export async function curl(options: CurlOptions): Promise<number> {
  if (options.image !== undefined) return curlInContainer(options, options.image)
  const ended = await curlOfHost(options)
  if (ended !== undefined) return ended
  options.onProgress(`This host has no curl; using the image "${DEFAULT_IMAGE}"`)
  return curlInContainer(options, DEFAULT_IMAGE)
}

/** Undefined where the host has no curl. */
async function curlOfHost({ engine, onProgress, root, use, words }: CurlOptions): Promise<number | undefined> {
  let last: DialFailure | undefined
  const proxy = await openProxy({ engine, onFailure: (failure) => (last = failure), port: 0, root, use })
  try {
    const url = `socks5h://127.0.0.1:${proxy.port}`
    const ended = await runForeground('curl', curlWords(words, url), curlEnvironment(url))
    if ('cannotStart' in ended) return undefined
    if (!last || (ended.status !== CURLE_PROXY && ended.status !== CURLE_COULDNT_CONNECT)) return ended.status
    if (!isSilent(words)) onProgress(`In connection "${proxy.connection}": ${last.text}`)
    return STATUSES[last.code] ?? CURLE_COULDNT_CONNECT
  } finally {
    proxy.close()
  }
}

/** `-q` (do not read ~/.curlrc) counts only as the very first word. */
export function curlWords(words: string[], proxy: string): string[] {
  const quiet = words[0] === '-q' || words[0] === '--disable' ? words.slice(0, 1) : []
  return [...quiet, '--proxy', proxy, '--noproxy', '', ...words.slice(quiet.length)]
}

/** What holds behind a `--next`, too, where the words at the front do not. */
function curlEnvironment(proxy: string): Record<string, string | undefined> {
  const names = ['ALL_PROXY', 'FTP_PROXY', 'HTTPS_PROXY', 'all_proxy', 'ftp_proxy', 'http_proxy', 'https_proxy']
  return { ...Object.fromEntries(names.map((name) => [name, proxy])), NO_PROXY: undefined, no_proxy: undefined }
}

/** `-s` without `-S`: nothing is to be said of errors. */
function isSilent(words: string[]): boolean {
  const has = (letter: string, long: string): boolean =>
    words.some((word) => word === long || (/^-[a-zA-Z#]+$/.test(word) && word.includes(letter)))
  return has('s', '--silent') && !has('S', '--show-error')
}

async function curlInContainer({ engine, root, use, words }: CurlOptions, image: string): Promise<number> {
  const place = await existingPlace({ engine, root, use })
  const flags = [
    { name: 'entrypoint', value: 'curl', words: ['--entrypoint', 'curl'] },
    { name: 'interactive', value: 'true', words: ['--interactive'] },
  ]
  return runTool({ command: words, engine: await engine(), flags, image, place })
}
