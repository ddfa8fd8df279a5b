// What may stand in a ClientConfig, for everybody who reads one: config.yml and the kubeconfig (strictly), the `client:` section
// that a traffic-manager hands out (as far as it can be understood). docs/config.schema.json is made of it by `npm run generate`.
import ipaddr from 'ipaddr.js'
import * as v from 'valibot'
import { DURATION_PATTERN, parseDuration } from '../base/duration.ts'
import { CARRIERS, type ClientConfig, LOG_LEVELS } from './client-config.ts'

const described = <T extends v.GenericSchema>(
  schema: T,
  text: string,
): v.SchemaWithPipe<readonly [T, v.DescriptionAction<v.InferOutput<T>, string>]> => v.pipe(schema, v.description(text))

const DURATION_TEXT = 'a duration, such as "30s", "1m30s" or "500ms"; a plain number means seconds'
const duration = (text: string) =>
  v.pipe(
    v.union(
      [v.pipe(v.string(), v.regex(DURATION_PATTERN, DURATION_TEXT)), v.pipe(v.number(), v.minValue(0, DURATION_TEXT))],
      DURATION_TEXT,
    ),
    v.description(text),
    v.transform((value) => (typeof value === 'number' ? value * 1000 : (parseDuration(value) ?? 0))),
  )

const CIDR_TEXT = 'a CIDR, such as "10.0.0.0/8" or "fd00::/64"'
const cidr = v.pipe(
  v.string(CIDR_TEXT),
  v.regex(/^[0-9a-fA-F:.]+\/\d{1,3}$/, CIDR_TEXT),
  v.check((text) => ipaddr.isValidCIDR(text), CIDR_TEXT),
)
const cidrs = v.array(cidr, 'a list of CIDRs')

const NAME_TEXT = 'a DNS name'
const LABELS = '[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?(\\.[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)*'
const dnsName = v.pipe(v.string(NAME_TEXT), v.regex(new RegExp(`^${LABELS}\\.?$`), NAME_TEXT))
const SUFFIX_TEXT = 'a domain suffix, such as ".example.com"'
const suffix = v.pipe(v.string(SUFFIX_TEXT), v.regex(new RegExp(`^\\.?${LABELS}\\.?$`), SUFFIX_TEXT))
const suffixes = v.array(suffix, 'a list of domain suffixes')

const NAMESPACE_TEXT = 'the name of a Kubernetes namespace (a-z, 0-9 and "-", up to 63)'
const namespaceName = v.pipe(v.string(NAMESPACE_TEXT), v.regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, NAMESPACE_TEXT))

const MAPPING_TEXT = 'a name or an IP address'
const mapping = v.strictObject(
  {
    aliasFor: described(
      v.pipe(v.string(MAPPING_TEXT), v.regex(/^[a-zA-Z0-9_.:-]+$/, MAPPING_TEXT)),
      'The name that it stands for (in the cluster or outside), or an IP address',
    ),
    name: described(dnsName, 'The name that is asked for'),
  },
  'a map with "name" and "aliasFor"',
)

const VIRTUAL_TEXT = 'a CIDR, or one of "service", "pods", "also", "all"'
const virtual = v.pipe(
  v.string(VIRTUAL_TEXT),
  v.regex(/^([0-9a-fA-F:.]+\/\d{1,3}|service|pods|also|all)$/, VIRTUAL_TEXT),
  v.check((text) => !text.includes('/') || ipaddr.isValidCIDR(text), VIRTUAL_TEXT),
)
const proxyVia = v.strictObject(
  {
    cidr: described(virtual, 'Which addresses'),
    workload: described(dnsName, 'The workload whose traffic-agent dials'),
  },
  'a map with "cidr" and "workload"',
)

const PORT_TEXT = 'a port number from 1 to 65535'
const port = v.pipe(v.number(PORT_TEXT), v.integer(PORT_TEXT), v.minValue(1, PORT_TEXT), v.maxValue(65_535, PORT_TEXT))
const logLevel = v.picklist(LOG_LEVELS, `one of ${LOG_LEVELS.join(', ')}`)
const IMAGE_TEXT = 'the name of an image, such as "registry.example.com/tpx/tunnel:1.0"'
const imageName = v.pipe(v.string(IMAGE_TEXT), v.regex(/^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$/, IMAGE_TEXT))
const REGISTRY_TEXT = 'a registry with an optional path, such as "registry.example.com/mirror"'
const registry = v.pipe(v.string(REGISTRY_TEXT), v.regex(/^[a-zA-Z0-9][a-zA-Z0-9._:/-]*[a-zA-Z0-9]$/, REGISTRY_TEXT))

const optional = v.exactOptional
const section = <E extends v.ObjectEntries>(entries: E, text: string) =>
  v.exactOptional(v.pipe(v.strictObject(entries, 'a map of keys'), v.description(text)))

/** The whole of a config.yml: unknown keys are issues. Its output is a {@link ClientConfig}. */
export const clientConfigSchema = v.strictObject(
  {
    cluster: section(
      {
        clusterDomain: optional(described(dnsName, "The cluster's DNS domain; default: what the traffic-manager says")),
        defaultManagerNamespace: optional(described(namespaceName, 'Namespace of the traffic-manager; default: ambassador')),
      },
      'Which cluster, and where its traffic-manager is',
    ),
    dns: section(
      {
        excludeSuffixes: optional(
          described(suffixes, 'Names with these suffixes never lead to the cluster; default: .com, .io, .net, .org, .ru'),
        ),
        excludes: optional(described(v.array(dnsName, 'a list of names'), 'Names that do not exist for the connection')),
        includeSuffixes: optional(described(suffixes, 'Names with these suffixes lead to the cluster')),
        lookupTimeout: optional(duration('How long one lookup in the cluster may take; default: 4s')),
        mappings: optional(described(v.array(mapping, 'a list of mappings'), 'Names that stand for others')),
      },
      'Names, as the containers of the connection see them',
    ),
    docker: section(
      {
        carrier: optional(
          described(v.picklist(CARRIERS, `one of ${CARRIERS.join(', ')}`), 'How the tunnel container reaches the host; default: auto'),
        ),
      },
      'The Docker engine',
    ),
    images: section(
      {
        registry: optional(described(registry, "Registry, with an optional path, that holds a copy of tpx's images")),
        tunnelImage: optional(described(imageName, 'Image of the containers on this host; wins over registry')),
      },
      'Where container images come from',
    ),
    intercept: section(
      { defaultPort: optional(described(port, "Port that gets the traffic where an intercept names none; default: the container's own")) },
      'Intercepts',
    ),
    logLevels: section(
      {
        link: optional(described(logLevel, 'Of the background process on this host; default: info')),
        tunnel: optional(described(logLevel, 'Of the tunnel container; default: info')),
      },
      'How much the programs log',
    ),
    routing: section(
      {
        allowConflictingSubnets: optional(described(cidrs, 'Subnets that are routed although the host uses them, too')),
        alsoProxySubnets: optional(described(cidrs, 'Subnets outside of the cluster that are reached through it')),
        autoResolveConflicts: optional(
          described(
            v.boolean('true or false'),
            'Give a subnet that the host uses itself virtual addresses, instead of refusing it; default: true',
          ),
        ),
        neverProxySubnets: optional(
          described(cidrs, 'Subnets that are not reached through the cluster; the lists of all sources are united'),
        ),
        proxyVia: optional(
          described(
            v.array(proxyVia, 'a list of maps with "cidr" and "workload"'),
            'Subnets that are reached through the traffic-agent of a workload',
          ),
        ),
        virtualSubnet: optional(described(cidr, 'Where virtual addresses are taken from')),
        vnat: optional(described(v.array(virtual, 'a list of CIDRs'), 'Subnets that are reached under virtual addresses in any case')),
      },
      'Which addresses lead to the cluster',
    ),
    timeouts: section(
      {
        connectionGrace: optional(duration("How long the cluster may be away before the apps' TCP connections are reset; default: 10m")),
        helm: optional(duration('How long tpx helm waits for the cluster; default: 2m')),
        intercept: optional(duration('How long an attachment may take until the agent is ready; default: 1m')),
        trafficManagerAPI: optional(duration('How long one call about the session may take; default: 10s')),
        trafficManagerConnect: optional(duration('How long tpx connect waits until the connection is up; default: 30s')),
      },
      'How long to wait',
    ),
  },
  'a map of sections',
) satisfies v.GenericSchema<unknown, ClientConfig>

// The compiler refuses a key of ClientConfig that the schema does not have.
type Keys<T> = { [S in keyof T]-?: keyof NonNullable<T[S]> }
const complete: Keys<v.InferOutput<typeof clientConfigSchema>> extends Keys<ClientConfig>
  ? Keys<ClientConfig> extends Keys<v.InferOutput<typeof clientConfigSchema>>
    ? true
    : never
  : never = true
void complete

/** The names that there are: section -> keys. */
export const CLIENT_CONFIG_KEYS: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.entries(clientConfigSchema.entries).map(([name, { wrapped }]) => [name, Object.keys(wrapped.pipe[0].entries)]),
)

/** The keys of the entries of those lists that hold maps: name of the list -> keys. */
export const CLIENT_CONFIG_ENTRY_KEYS: Readonly<Record<string, readonly string[]>> = {
  'dns.mappings': Object.keys(mapping.entries),
  'routing.proxyVia': Object.keys(proxyVia.entries),
}
