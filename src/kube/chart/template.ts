import { messageOf, TpxError } from '../../base/error.ts'
import { closestTo } from '../closest-name.ts'
import { type ChartMap, type ChartValue, isMap } from './chart-value.ts'
import { isTrue, printed, TEMPLATE_FUNCTIONS } from './template-functions.ts'
import { templateError } from './template-lexer.ts'
import { type Definitions, type Expression, type Node, parseTemplate } from './template-parser.ts'

/** A file of the chart: path below the chart's folder, and content. */
export type TemplateFile = { path: string; source: string }

/**
 * Renders templates of a strict subset of Go's text/template with Helm's functions. Whatever renders here renders the same
 * in Helm; what the subset lacks is an error, not a guess:
 * - text, `{{-`, `-}}`, comments, define/include, if/else if/else, with, range (lists and maps), variables, parentheses, pipelines;
 * - paths (`.a.b`, `$x.a`, `$.a`), strings, integers, true, false, nil; the functions of template-functions.ts, and, or, include;
 * - a value that is missing is an error where it is put out (Helm prints nothing), and so is a field of it.
 * @returns the text of every file that `isWanted` takes, in the order given
 * @throws TpxError CHART_INVALID that names file and line
 */
export function renderTemplates(
  files: TemplateFile[],
  root: ChartMap,
  isWanted: (path: string) => boolean,
): { path: string; text: string }[] {
  const definitions: Definitions = new Map()
  const parsed = files.map(({ path, source }) => ({ nodes: parseTemplate(source, path, definitions), path }))
  return parsed
    .filter(({ path }) => isWanted(path))
    .map(({ nodes, path }) => ({ path, text: new Evaluator(path, definitions, root).render(nodes, root) }))
}

type Scope = { parent?: Scope; values: Map<string, ChartValue> }

/** Includes that nest deeper are taken for a loop. */
const MAX_DEPTH = 50

class Evaluator {
  readonly #definitions: Definitions
  readonly #depth: number
  readonly #file: string
  #scope: Scope

  constructor(file: string, definitions: Definitions, root: ChartValue, depth = 0) {
    this.#file = file
    this.#definitions = definitions
    this.#depth = depth
    this.#scope = { values: new Map([['$', root]]) }
  }

  render(nodes: Node[], dot: ChartValue): string {
    return nodes.map((node) => this.#node(node, dot)).join('')
  }

  #node(node: Node, dot: ChartValue): string {
    switch (node.kind) {
      case 'text':
        return node.text
      case 'output':
        return this.#guard(node.value.line, () => printed(this.#value(node.value, dot)))
      case 'assign':
        this.#assign(node, this.#value(node.value, dot))
        return ''
      case 'if':
      case 'with': {
        const value = this.#value(node.value, dot)
        if (!isTrue(value)) return this.#inner(node.otherwise, dot)
        return this.#inner(node.body, node.kind === 'with' ? value : dot)
      }

      case 'range':
        return this.#range(node, dot)
    }
  }

  #range({ body, item, key, otherwise, value: of }: Node & { kind: 'range' }, dot: ChartValue): string {
    const value = this.#value(of, dot)
    if (!isTrue(value)) return this.#inner(otherwise, dot)
    if (typeof value !== 'object') throw templateError(this.#file, of.line, 'range needs a list or a map')
    const isList = Array.isArray(value)
    const entries = Object.entries(value ?? {})
    if (!isList) entries.sort(([a], [b]) => (a < b ? -1 : 1))
    return entries
      .map(([name, element]) => {
        const variables = new Map<string, ChartValue>()
        if (key) variables.set(key, isList ? Number(name) : name)
        if (item) variables.set(item, element)
        return this.#inner(body, element, variables)
      })
      .join('')
  }

  /** Variables that are declared inside end with the block. */
  #inner(nodes: Node[], dot: ChartValue, values: Map<string, ChartValue> = new Map()): string {
    const outer = this.#scope
    this.#scope = { parent: outer, values }
    try {
      return this.render(nodes, dot)
    } finally {
      this.#scope = outer
    }
  }

  #assign({ isNew, line, name }: Node & { kind: 'assign' }, value: ChartValue): void {
    if (isNew) this.#scope.values.set(name, value)
    else this.#holder(name, line).set(name, value)
  }

  #holder(name: string, line: number): Map<string, ChartValue> {
    for (let scope: Scope | undefined = this.#scope; scope; scope = scope.parent) if (scope.values.has(name)) return scope.values
    throw templateError(this.#file, line, `there is no variable "${name}"`)
  }

  #value(expression: Expression, dot: ChartValue): ChartValue {
    switch (expression.kind) {
      case 'literal':
        return expression.value
      case 'dot':
        return dot
      case 'variable':
        return this.#holder(expression.name, expression.line).get(expression.name) ?? null
      case 'path':
        return this.#path(this.#value(expression.of, dot), expression.fields, expression.line)
      case 'call':
        return this.#call(expression, dot)
    }
  }

  #path(value: ChartValue, fields: string[], line: number): ChartValue {
    let at: ChartValue = value
    for (const [index, field] of fields.entries()) {
      if (!isMap(at)) throw templateError(this.#file, line, `".${fields.slice(0, index + 1).join('.')}" is a field of what is no map`)
      at = Object.hasOwn(at, field) ? (at[field] ?? null) : null
    }

    return at
  }

  #call({ args, line, name }: Expression & { kind: 'call' }, dot: ChartValue): ChartValue {
    if (name === 'and' || name === 'or') return this.#shortCircuit(args, dot, name === 'or')
    const values = args.map((argument) => this.#value(argument, dot))
    if (name === 'include') return this.#include(values, line)
    const implementation = Object.hasOwn(TEMPLATE_FUNCTIONS, name) ? TEMPLATE_FUNCTIONS[name] : undefined
    if (!implementation) {
      const near = closestTo(name, [...Object.keys(TEMPLATE_FUNCTIONS), 'and', 'include', 'or'])
      throw templateError(this.#file, line, `there is no function "${name}"${near ? `; did you mean "${near}"?` : ''}`)
    }

    return this.#guard(line, () => implementation(...values), name)
  }

  #shortCircuit(args: Expression[], dot: ChartValue, until: boolean): ChartValue {
    let value: ChartValue = null
    for (const argument of args) {
      value = this.#value(argument, dot)
      if (isTrue(value) === until) break
    }

    return value
  }

  #include([name = null, dot = null]: ChartValue[], line: number): string {
    const found = typeof name === 'string' ? this.#definitions.get(name) : undefined
    if (!found) throw templateError(this.#file, line, `nothing is defined as ${JSON.stringify(name)}`)
    if (this.#depth >= MAX_DEPTH) throw templateError(this.#file, line, `${JSON.stringify(name)} includes itself`)
    return new Evaluator(found.file, this.#definitions, dot, this.#depth + 1).render(found.body, dot)
  }

  #guard<T>(line: number, work: () => T, name?: string): T {
    try {
      return work()
    } catch (error) {
      if (error instanceof TpxError) throw error
      throw templateError(this.#file, line, name && name !== 'fail' ? `${name}: ${messageOf(error)}` : messageOf(error))
    }
  }
}
