import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** What to make: text for a file, `{ link }` for a link, null for a directory. */
export type Tree = Record<string, string | { link: string } | null>

/** A directory that is removed at the end of the test; `outside` lies beside `inside` and must never be seen. */
export function temporaryDirectory(tree: Tree = {}): Disposable & { inside: string; outside: string } {
  const top = realpathSync(mkdtempSync(join(tmpdir(), 'tpx-agent-')))
  const [inside, outside] = [join(top, 'inside'), join(top, 'outside')]
  for (const directory of [inside, outside]) mkdirSync(directory)
  writeFileSync(join(outside, 'secret'), 'SECRET')
  for (const [name, content] of Object.entries(tree)) {
    const path = join(inside, name)
    mkdirSync(content === null ? path : dirname(path), { recursive: true })
    if (typeof content === 'string') writeFileSync(path, content)
    else if (content) symlinkSync(content.link, path)
  }
  return { inside, outside, [Symbol.dispose]: () => rmSync(top, { force: true, recursive: true }) }
}
