import type { ChartValue } from './chart-value.ts'
import { lex, type Segment, templateError, type Token } from './template-lexer.ts'

/** What an action computes. A pipeline `a | f b` has become the call `f b a`. */
export type Expression = (
  | { args: Expression[]; kind: 'call'; name: string }
  | { fields: string[]; kind: 'path'; of: Expression }
  | { kind: 'dot' }
  | { kind: 'literal'; value: ChartValue }
  | { kind: 'variable'; name: string }
) & { line: number }

/** A piece of a template. */
export type Node =
  | { body: Node[]; kind: 'if' | 'with'; otherwise: Node[]; value: Expression }
  | { body: Node[]; item: string | undefined; key: string | undefined; kind: 'range'; otherwise: Node[]; value: Expression }
  | { isNew: boolean; kind: 'assign'; line: number; name: string; value: Expression }
  | { kind: 'output'; value: Expression }
  | { kind: 'text'; text: string }

/** Bodies of `define`, by name; each remembers its file for error messages. */
export type Definitions = Map<string, { body: Node[]; file: string }>

const LITERALS: Record<string, ChartValue> = { false: false, nil: null, true: true }

/**
 * Parses a template of the subset of Go's text/template that the chart uses. What is defined in it is put into `definitions`.
 * @throws TpxError CHART_INVALID that names file and line
 */
export function parseTemplate(source: string, file: string, definitions: Definitions): Node[] {
  const parser = new Parser(lex(source, file), file, definitions)
  const { body, end } = parser.nodes()
  if (end) throw templateError(file, end.line, `unexpected "${end.word}"`)
  return body
}

type End = { line: number; rest: Token[]; word: 'else' | 'end' }

class Parser {
  #at = 0
  readonly #definitions: Definitions
  readonly #file: string
  readonly #segments: Segment[]

  constructor(segments: Segment[], file: string, definitions: Definitions) {
    this.#segments = segments
    this.#file = file
    this.#definitions = definitions
  }

  /** Nodes up to the next `else` or `end` of this level, or the end of the file. */
  nodes(): { body: Node[]; end?: End } {
    const body: Node[] = []
    while (this.#at < this.#segments.length) {
      const segment = this.#segments[this.#at++]!
      if (segment.kind === 'text') {
        if (segment.text) body.push(segment)
        continue
      }

      const [first, ...rest] = segment.tokens
      if (!first) throw templateError(this.#file, segment.line, 'an empty action')
      const word = first.kind === 'word' ? first.text : ''
      if (word === 'end' || word === 'else') return { body, end: { line: first.line, rest, word } }
      if (word === 'define') this.#define(first, rest)
      else if (word === 'if' || word === 'with' || word === 'range') body.push(this.#block(word, rest, first.line))
      else body.push(this.#simple(segment.tokens))
    }

    return { body }
  }

  #define({ line }: Token, rest: Token[]): void {
    const [name] = rest
    if (rest.length !== 1 || name?.kind !== 'string') throw templateError(this.#file, line, 'define takes one name in quotes')
    const { body, end } = this.nodes()
    this.#expectEnd(end, line, 'define')
    this.#definitions.set(stringOf(name), { body, file: this.#file })
  }

  #block(kind: 'if' | 'range' | 'with', tokens: Token[], line: number): Node {
    const words = new Words(tokens, this.#file, line)
    const names = kind === 'range' ? words.rangeVariables() : []
    const value = words.pipeline()
    words.expectNothing()
    const { body, end } = this.nodes()
    const otherwise = this.#otherwise(end, kind, line)
    if (kind !== 'range') return { body, kind, otherwise, value }
    const [item, key] = names.toReversed()
    return { body, item, key, kind, otherwise, value }
  }

  #otherwise(end: End | undefined, kind: string, line: number): Node[] {
    if (end?.word !== 'else') {
      this.#expectEnd(end, line, kind)
      return []
    }

    const [first, ...rest] = end.rest
    if (first?.text === 'if' && first.kind === 'word') return [this.#block('if', rest, first.line)]
    if (first) throw templateError(this.#file, end.line, `unexpected "${first.text}" after else`)
    const { body, end: last } = this.nodes()
    this.#expectEnd(last, line, kind)
    return body
  }

  #expectEnd(end: End | undefined, line: number, kind: string): void {
    if (end?.word !== 'end' || end.rest.length) throw templateError(this.#file, end?.line ?? line, `"${kind}" of line ${line} has no end`)
  }

  #simple(tokens: Token[]): Node {
    const [first, second] = tokens
    const line = first?.line ?? 0
    const isAssignment = first?.kind === 'variable' && (second?.text === ':=' || second?.text === '=')
    const words = new Words(isAssignment ? tokens.slice(2) : tokens, this.#file, line)
    const value = words.pipeline()
    words.expectNothing()
    return isAssignment ? { isNew: second?.text === ':=', kind: 'assign', line, name: first.text, value } : { kind: 'output', value }
  }
}

/** The words of one action. */
class Words {
  #at = 0
  readonly #file: string
  readonly #line: number
  readonly #tokens: Token[]

  constructor(tokens: Token[], file: string, line: number) {
    this.#tokens = tokens
    this.#file = file
    this.#line = line
  }

  /** `$item :=` or `$key, $item :=`, if there. */
  rangeVariables(): string[] {
    const at = this.#tokens.findIndex(({ text }) => text === ':=')
    if (at < 0) return []
    const names = this.#tokens.slice(0, at).filter(({ text }) => text !== ',')
    if (names.length > 2 || names.some(({ kind }) => kind !== 'variable')) throw this.#fail('range takes one or two variables')
    this.#at = at + 1
    return names.map(({ text }) => text)
  }

  pipeline(): Expression {
    let value = this.#command()
    while (this.#peek()?.text === '|') {
      this.#at++
      const next = this.#command()
      if (next.kind !== 'call') throw this.#fail('only functions can stand behind "|"')
      value = { ...next, args: [...next.args, value] }
    }

    return value
  }

  expectNothing(): void {
    const rest = this.#peek()
    if (rest) throw this.#fail(`unexpected "${rest.text}"`)
  }

  /** A function with its arguments, or one operand. */
  #command(): Expression {
    const first = this.#peek()
    if (first?.kind !== 'word' || first.text in LITERALS) return this.#operand()
    this.#at++
    const args: Expression[] = []
    for (let next = this.#peek(); next && next.text !== '|' && next.text !== ')'; next = this.#peek()) args.push(this.#operand())
    return { args, kind: 'call', line: first.line, name: first.text }
  }

  #operand(): Expression {
    const token = this.#tokens[this.#at++]
    if (!token) throw this.#fail('a value is missing')
    const base = this.#base(token)
    const fields: string[] = base.kind === 'path' ? base.fields : []
    for (let next = this.#peek(); next?.kind === 'field' && next.isGlued; next = this.#peek()) {
      fields.push(next.text.slice(1))
      this.#at++
    }

    if (!fields.length) return base
    return { fields, kind: 'path', line: token.line, of: base.kind === 'path' ? base.of : base }
  }

  #base({ kind, line, text }: Token): Expression {
    if (kind === 'string') return { kind: 'literal', line, value: stringOf({ text }) }
    if (kind === 'integer') return { kind: 'literal', line, value: Number(text) }
    if (kind === 'variable') return { kind: 'variable', line, name: text }
    if (kind === 'field')
      return text === '.' ? { kind: 'dot', line } : { fields: [text.slice(1)], kind: 'path', line, of: { kind: 'dot', line } }
    if (kind === 'word' && text in LITERALS) return { kind: 'literal', line, value: LITERALS[text] ?? null }
    // A function without arguments is no operand here: the chart needs none, and a misspelt value is found.
    if (text !== '(') throw this.#fail(`unexpected "${text}"`)
    const value = this.pipeline()
    if (this.#tokens[this.#at++]?.text !== ')') throw this.#fail('")" is missing')
    return value
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at]
  }

  #fail(text: string): Error {
    return templateError(this.#file, this.#tokens[this.#at]?.line ?? this.#line, text)
  }
}

/** Go's interpreted strings are a superset of JSON's; the chart keeps to what both know. */
function stringOf({ text }: { text: string }): string {
  return text.startsWith('`') ? text.slice(1, -1) : (JSON.parse(text) as string)
}
