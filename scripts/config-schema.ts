// The JSON Schema of config.yml, made of the schema that tpx itself checks with (src/wire/client-config-schema.ts).
import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema'
import { clientConfigSchema } from '../src/wire/client-config-schema.ts'
import { MANAGER_KEYS } from '../src/wire/manager-client-config.ts'

/** Alternatives of different types as one schema, which every reader of JSON Schema shows better; and no empty lists. */
function simplified(schema: JsonSchema): JsonSchema {
  const { anyOf, required, ...rest } = schema
  const types = anyOf?.map((one) => (one as JsonSchema).type)
  return {
    ...(anyOf ? Object.assign({}, ...anyOf, { type: types }) : {}),
    ...rest,
    ...(required && required.length > 0 ? { required } : {}),
  } as JsonSchema
}

/** The schema of a whole config.yml. */
export function configSchema(): JsonSchema {
  const schema = toJsonSchema(clientConfigSchema, {
    errorMode: 'ignore', // checks beyond JSON Schema, e.g. of a CIDR's bits
    overrideSchema: ({ jsonSchema }) => simplified(jsonSchema),
    target: 'draft-07',
    typeMode: 'input',
  })
  return { title: 'config.yml of tpx', ...schema }
}

/** The part of it that the chart's value `client` may have. */
export function chartClientSchema(): JsonSchema {
  const { properties = {} } = configSchema()
  const sections = Object.entries(MANAGER_KEYS).map(([name, keys]): [string, JsonSchema] => {
    const section = properties[name] as JsonSchema
    const entries = Object.entries(section.properties ?? {}).filter(([key]) => (keys as readonly string[]).includes(key))
    return [name, { ...section, properties: Object.fromEntries(entries) }]
  })
  return {
    description: 'Defaults for clients, in the words of their config.yml',
    type: 'object',
    properties: Object.fromEntries(sections),
    additionalProperties: false,
  }
}
