import { readFileSync } from 'node:fs'
import { isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { messageOf, systemCode, TpxError } from '../base/error.ts'

/** Where a value stands: keys and indexes from the top of the document. */
export type ConfigPath = readonly (number | string)[]

/** A YAML file that can say in which line a value stands. */
export class ConfigDocument {
  readonly file: string
  readonly value: unknown
  readonly #lines = new LineCounter()
  readonly #root: Node | null

  /** @throws TpxError CONFIG_INVALID with the line, when it is no YAML */
  constructor(file: string, text: string) {
    this.file = file
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false })
    const [error] = document.errors
    if (error)
      throw new TpxError('CONFIG_INVALID', `"${file}", line ${this.#lines.linePos(error.pos[0]).line}: ${error.message}`, {
        cause: error,
        hint: 'Correct the file; it must be YAML',
      })
    this.#root = document.contents
    this.value = document.toJS() as unknown
  }

  /**
   * Reads a file.
   * @returns undefined where there is none
   * @throws TpxError CONFIG_INVALID when it cannot be read or is no YAML
   */
  static read(file: string): ConfigDocument | undefined {
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch (cause) {
      if (systemCode(cause) === 'ENOENT') return undefined
      throw new TpxError('CONFIG_INVALID', `"${file}" cannot be read: ${systemCode(cause) ?? messageOf(cause)}`, {
        cause,
        hint: 'Check the permissions of the file, and TPX_CONFIG',
      })
    }
    return new ConfigDocument(file, text)
  }

  /** The file and the line of a value, or of the nearest value around it. */
  place(path: ConfigPath): string {
    let node: unknown = this.#root
    let at = startOf(node) ?? 0
    for (const step of path) {
      const found = child(node, step)
      if (!found) break
      at = startOf(found.from) ?? at
      node = found.node
    }
    return `"${this.file}", line ${this.#lines.linePos(at).line}`
  }
}

/** Where a node begins, as an offset. */
function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined
}

/** The value of a key or index, and the node that it begins with for a reader: the key, or the entry of a list. */
function child(node: unknown, step: number | string): { from: unknown; node: unknown } | undefined {
  if (isSeq(node)) return typeof step === 'number' ? { from: node.items[step], node: node.items[step] } : undefined
  const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && key.value === step) : undefined
  return pair && { from: pair.key, node: pair.value }
}
