import { parse, parseAllDocuments, type ScalarTag, stringify, type Tags } from 'yaml'

/**
 * YAML as Helm reads it (sigs.k8s.io/yaml, a go-yaml of version 2): YAML 1.2, but "yes", "on", "y" and the like are
 * booleans, a leading zero means octal, and digits may be grouped by "_".
 */
const HELM_TAGS: ScalarTag[] = [
  { default: true, identify: () => false, resolve: () => true, tag: 'tag:yaml.org,2002:bool', test: /^(?:y|Y|yes|Yes|YES|on|On|ON)$/ },
  { default: true, identify: () => false, resolve: () => false, tag: 'tag:yaml.org,2002:bool', test: /^(?:n|N|no|No|NO|off|Off|OFF)$/ },
  {
    default: true,
    identify: () => false,
    resolve: (text) => Number.parseInt(text.replaceAll('_', ''), 8),
    tag: 'tag:yaml.org,2002:int',
    test: /^[-+]?0[0-7_]+$/,
  },
  {
    default: true,
    identify: () => false,
    resolve: (text) => Number(text.replaceAll('_', '')),
    tag: 'tag:yaml.org,2002:int',
    test: /^[-+]?[1-9][0-9]*_[0-9_]*$/,
  },
]
const OPTIONS = { customTags: (tags: Tags): Tags => [...HELM_TAGS, ...tags] }

/** One document; null when it is empty. */
export function parseYaml(text: string): unknown {
  return parse(text, OPTIONS)
}

/** All documents that are not empty. */
export function parseYamlDocuments(text: string): unknown[] {
  const documents = parseAllDocuments(text, OPTIONS)
  if (!Array.isArray(documents)) return []
  return documents.flatMap((document) => {
    if (document.errors[0]) throw document.errors[0]
    const value: unknown = document.toJS()
    return value === null ? [] : [value]
  })
}

/**
 * The value as YAML, without a final line feed and laid out as Helm does (keys in order, lists not indented), so that a ConfigMap that
 * holds it has the same text; strings that Helm would take for something else are in quotes.
 */
export function formatYaml(value: unknown): string {
  return stringify(value, { compat: 'yaml-1.1', indentSeq: false, lineWidth: 0, sortMapEntries: true }).replace(/\n$/, '')
}
