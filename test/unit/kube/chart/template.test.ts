import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TpxError } from '../../../../src/base/error.ts'
import type { ChartMap } from '../../../../src/kube/chart/chart-value.ts'
import { renderTemplates } from '../../../../src/kube/chart/template.ts'

const VALUES: ChartMap = { list: ['a', 'b'], map: { z: 2, x: 'one' }, name: 'web', none: {}, on: true, zero: 0 }

function render(source: string, helpers = ''): string {
  const files = [
    { path: 'templates/_helpers.tpl', source: helpers },
    { path: 'templates/x.yaml', source },
  ]
  return renderTemplates(files, { Values: VALUES }, (path) => path.endsWith('.yaml'))[0]?.text ?? ''
}

function failureOf(source: string, helpers = ''): string {
  try {
    render(source, helpers)
  } catch (error) {
    assert.ok(error instanceof TpxError && error.code === 'CHART_INVALID', String(error))
    return error.message
  }

  return assert.fail(`"${source}" renders`)
}

test('renderTemplates() takes white space away next to "{{-" and "-}}", across lines', () => {
  assert.equal(render('a \n\t{{- .Values.name -}} \n b'), 'awebb')
  assert.equal(render('a {{ .Values.name }} b'), 'a web b')
  assert.equal(render('a {{- /* no\nword */ -}} b{{/* more */}}'), 'ab')
})

test('renderTemplates() reads fields of the dot, of the root and of variables', () => {
  assert.equal(render('{{ .Values.map.x }}{{ $.Values.map.z }}{{ $m := .Values.map }}{{ $m.x }}'), 'one2one')
  assert.equal(render('{{ (.Values.map).x }}'), 'one')
})

test('renderTemplates() chooses by if, else if and else; zero, empty and false count as false', () => {
  const source = '{{ if .Values.zero }}1{{ else if .Values.none }}2{{ else if not .Values.on }}3{{ else }}4{{ end }}'
  assert.equal(render(source), '4')
  assert.equal(render('{{ if and .Values.on .Values.name }}yes{{ end }}{{ if or .Values.zero "" }}no{{ end }}'), 'yes')
})

test('renderTemplates() moves the dot in with and range, and leaves it in else', () => {
  assert.equal(render('{{ with .Values.map }}{{ .x }}{{ end }}{{ with .Values.none }}{{ else }}{{ .Values.name }}{{ end }}'), 'oneweb')
  assert.equal(render('{{ range .Values.list }}<{{ . }}{{ $.Values.name }}>{{ end }}'), '<aweb><bweb>')
  assert.equal(render('{{ range $i, $v := .Values.list }}{{ $i }}{{ $v }}{{ end }}'), '0a1b')
  assert.equal(render('{{ range $k, $v := .Values.map }}{{ $k }}{{ $v }}{{ end }}'), 'xonez2')
  assert.equal(render('{{ range .Values.none }}{{ else }}empty{{ end }}'), 'empty')
})

test('renderTemplates() keeps a variable that is set in a block and forgets one that is declared there', () => {
  assert.equal(render('{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}'), '2')
  assert.match(failureOf('{{ if true }}{{ $y := 2 }}{{ end }}{{ $y }}'), /templates\/x.yaml:1: there is no variable "\$y"/)
})

test('renderTemplates() hands the value of a pipeline to the last place of the next function', () => {
  assert.equal(render('{{ .Values.nothing | default .Values.name | quote }}'), '"web"')
  assert.equal(render('{{ printf "%s-%d" .Values.name 3 }}'), 'web-3')
  assert.equal(render('x:{{ toYaml .Values.map | nindent 2 }}'), 'x:\n  x: one\n  z: 2')
  assert.equal(render('{{ toJson .Values.map }}'), '{"x":"one","z":2}')
})

test('renderTemplates() includes definitions of other files with a dot of their own', () => {
  assert.equal(render('{{ include "n" .Values.map | quote }}', '{{ define "n" -}} {{ .x }} {{- end }}'), '"one"')
  assert.match(
    failureOf('{{ include "n" . }}', '\n{{ define "n" }}\n{{ .a.b }}{{ end }}'),
    /_helpers.tpl:3: ".a.b" is a field of what is no map/,
  )
  assert.match(failureOf('{{ include "n" . }}', '{{ define "n" }}{{ include "n" . }}{{ end }}'), /includes itself/)
})

test('renderTemplates() names file and line of what it does not know', () => {
  assert.match(failureOf('\n\n{{ defalt 1 2 }}'), /^templates\/x.yaml:3: there is no function "defalt"; did you mean "default"\?$/)
  assert.match(failureOf('a\n{{ .Values.missing }}'), /^templates\/x.yaml:2: there is no value$/)
  assert.match(failureOf('{{ .Values.list }}'), /use toYaml/)
  assert.match(failureOf('{{ if .Values.on }}'), /"if" of line 1 has no end/)
  assert.match(failureOf('{{ end }}'), /unexpected "end"/)
  assert.match(failureOf('{{ .Values.name '), /has no end/)
  assert.match(failureOf('{{ template "x" . }}'), /there is no function "template"/)
  assert.match(failureOf('{{ 1.5 }}'), /not understood/)
  assert.match(failureOf('{{ }}'), /an empty action/)
  assert.match(failureOf('{{ "a" | 3 }}'), /only functions can stand behind/)
  assert.match(failureOf('{{ (quote "a" }}'), /"\)" is missing/)
  assert.match(failureOf('{{ fail "no good" }}'), /^templates\/x.yaml:1: no good$/)
})
