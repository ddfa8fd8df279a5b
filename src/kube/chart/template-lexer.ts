import { TpxError } from '../../base/error.ts'

/** A word of an action. `isGlued`: no white space before it, so that `.a` continues what is on its left. */
export type Token = {
  isGlued: boolean
  kind: 'field' | 'integer' | 'operator' | 'string' | 'variable' | 'word'
  line: number
  text: string
}

/** A template cut into its text and its actions (text/template, "Text and spaces"); comments are gone. */
export type Segment = { kind: 'action'; line: number; tokens: Token[] } | { kind: 'text'; text: string }

/** An error in a template, with its place. */
export function templateError(file: string, line: number, text: string): TpxError {
  return new TpxError('CHART_INVALID', `${file}:${line}: ${text}`)
}

const ACTION =
  /\{\{(?<left>-(?=\s))?(?:\s*\/\*(?<comment>[\s\S]*?)\*\/\s*?|(?<body>(?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|(?!\}\}|["`]|\s-\}\})[\s\S])*))(?<right>\s-)?\}\}/y

const TOKEN = new RegExp(
  [
    /(?<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)/,
    /(?<variable>\$\w*)/,
    /(?<field>\.[A-Za-z_]\w*|\.(?!\w))/,
    /(?<integer>-?\d+(?![\w.]))/,
    /(?<word>[A-Za-z_]\w*)/,
    /(?<operator>:=|[=|(),])/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'y',
)

/** Cuts a template; `{{-` and `-}}` have taken the white space next to them away.
 * @throws TpxError CHART_INVALID for what is no action of the subset
 */
export function lex(source: string, file: string): Segment[] {
  const segments: Segment[] = []
  let at = 0
  let trimNext = false
  for (;;) {
    const begin = source.indexOf('{{', at)
    let text = source.slice(at, begin < 0 ? undefined : begin)
    if (trimNext) text = text.trimStart()
    if (begin < 0) return [...segments, { kind: 'text', text }]
    const line = lineAt(source, begin)
    ACTION.lastIndex = begin
    const groups = ACTION.exec(source)?.groups
    if (!groups) throw templateError(file, line, 'an action that begins with "{{" has no end')
    segments.push({ kind: 'text', text: groups['left'] ? text.trimEnd() : text })
    const { body } = groups
    if (body !== undefined) segments.push({ kind: 'action', line, tokens: tokens(body, file, line) })
    at = ACTION.lastIndex
    trimNext = groups['right'] !== undefined
  }
}

function tokens(body: string, file: string, firstLine: number): Token[] {
  const found: Token[] = []
  let isGlued = false
  for (let at = 0; at < body.length;) {
    const space = /\s*/y
    space.lastIndex = at
    const skipped = space.exec(body)?.[0].length ?? 0
    at += skipped
    if (at >= body.length) break
    isGlued = skipped === 0 && found.length > 0
    const line = firstLine + lineAt(body, at) - 1
    TOKEN.lastIndex = at
    const match = TOKEN.exec(body)
    const named = Object.entries(match?.groups ?? {}).find(([, text]) => text !== undefined)
    if (!match || !named) throw templateError(file, line, `"${body.slice(at).split(/\s/, 1)[0]}" is not understood`)
    found.push({ isGlued, kind: named[0] as Token['kind'], line, text: match[0] })
    at = TOKEN.lastIndex
  }

  return found
}

function lineAt(source: string, offset: number): number {
  let line = 1
  for (let at = source.indexOf('\n'); at >= 0 && at < offset; at = source.indexOf('\n', at + 1)) line++
  return line
}
