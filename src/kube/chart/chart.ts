import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, TpxError } from '../../base/error.ts'
import { isKnownKind, sortForInstall } from '../object-path.ts'
import { type ChartMap, type ChartValue, isMap } from './chart-value.ts'
import { parseYaml, parseYamlDocuments } from './helm-yaml.ts'
import { checkValues, type Schema } from './schema.ts'
import { renderTemplates, type TemplateFile } from './template.ts'
import { completeValues, parseValues } from './values.ts'

/** A chart in memory. */
export type Chart = {
  appVersion: string
  defaults: ChartMap
  name: string
  schema: Schema
  templates: TemplateFile[]
  version: string
}

/** What a chart knows about its installation (`.Release`). `service` becomes the label app.kubernetes.io/managed-by. */
export type Release = { name: string; namespace: string; service: string }

/** A Kubernetes object as it is sent. */
export type KubernetesObject = ChartMap & {
  apiVersion: string
  kind: string
  metadata: ChartMap & { name: string; namespace?: string }
}

/** Reads a chart's folder: Chart.yaml, values.yaml, values.schema.json, templates/. */
export async function loadChart(folder: string): Promise<Chart> {
  const read = (path: string): Promise<string> => readFile(join(folder, path), 'utf8')
  const [about, values, schema, names] = await Promise.all([
    read('Chart.yaml'),
    read('values.yaml'),
    read('values.schema.json'),
    readdir(join(folder, 'templates')),
  ])
  const { appVersion, name, version } = parseYaml(about) as Pick<Chart, 'appVersion' | 'name' | 'version'>
  const paths = names.sort().map((file) => `templates/${file}`)
  const templates = await Promise.all(paths.map(async (path) => ({ path, source: await read(path) })))
  return { appVersion, defaults: parseValues(values, 'values.yaml'), name, schema: JSON.parse(schema) as Schema, templates, version }
}

/**
 * Renders a chart with the user's values, without Helm: the same objects as `helm template`, in the order of installation.
 * @throws TpxError CHART_INVALID
 */
export function renderChart(chart: Chart, values: ChartMap, release: Release): KubernetesObject[] {
  const complete = completeValues(chart.defaults, values)
  checkValues(complete, chart.schema)
  const root: ChartMap = {
    Chart: { AppVersion: chart.appVersion, Name: chart.name, Version: chart.version },
    Release: { Name: release.name, Namespace: release.namespace, Service: release.service },
    Values: complete,
  }
  const texts = renderTemplates(chart.templates, root, (path) => path.endsWith('.yaml'))
  return sortForInstall(texts.flatMap(({ path, text }) => objectsOf(text, path)))
}

function objectsOf(text: string, path: string): KubernetesObject[] {
  return documentsOf(text, path).map((value) => {
    if (!isObject(value)) throw new TpxError('CHART_INVALID', `${path}: a document has no apiVersion, kind or metadata.name`)
    if (!isKnownKind(value))
      throw new TpxError('CHART_INVALID', `${path}: objects of the kind ${value.apiVersion} ${value.kind} are not known`)
    return value
  })
}

function documentsOf(text: string, path: string): ChartValue[] {
  try {
    return parseYamlDocuments(text) as ChartValue[]
  } catch (cause) {
    throw new TpxError('CHART_INVALID', `${path}: what was rendered is no YAML: ${messageOf(cause).split('\n', 1)[0]}`, { cause })
  }
}

function isObject(value: ChartValue): value is KubernetesObject {
  if (!isMap(value) || !isMap(value['metadata'])) return false
  return [value['apiVersion'], value['kind'], value['metadata']['name']].every((field) => typeof field === 'string')
}
