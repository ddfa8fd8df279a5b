// Every flag of `docker run`, and what becomes of it when the container joins the holder's network namespace.

/**
 * - `app`: handed to the app container as it is
 * - `holder`: Docker refuses it on a joining container; set on the holder instead
 * - `refuse`: cannot work; refused by name with the reason
 */
export type FlagRule = { on: 'app' | 'holder' } | { hint: string; on: 'refuse'; reason: string }

/** Name without dashes -> whether it takes a value, short name, and the rule. */
export type DockerRunFlag = { rule: FlagRule; short?: string; value: boolean }

const APP: FlagRule = { on: 'app' }
const HOLDER: FlagRule = { on: 'holder' }
const refuse = (reason: string, hint: string): FlagRule => ({ hint, on: 'refuse', reason })

const ownNetwork = refuse(
  "the app container shares the connection's network namespace",
  'Leave the flag away; the container gets the network of the cluster',
)
const ownDns = refuse("names are resolved by the tunnel's DNS server, as in a Pod", 'Leave the flag away')
const linked = refuse(
  'Docker links need a network of the container itself',
  'Use the name of the other container on a user-defined network',
)
const stays = refuse('tpx takes the attachment back when the command ends', 'Run it in the foreground, in another terminal')

const switches: Record<string, FlagRule> = {
  detach: stays,
  'disable-content-trust': APP,
  init: APP,
  interactive: APP,
  'no-healthcheck': APP,
  'oom-kill-disable': APP,
  privileged: APP,
  'publish-all': refuse('ports are published on the holder, which is created before the image is known', 'Name the ports with -p'),
  quiet: APP,
  'read-only': APP,
  rm: APP,
  'sig-proxy': APP,
  tty: APP,
  'use-api-socket': APP,
}

const withValue: Record<string, FlagRule> = {
  ...Object.fromEntries(
    `annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile cpu-count cpu-percent cpu-period
    cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach-keys device device-cgroup-rule device-read-bps
    device-read-iops device-write-bps device-write-iops domainname entrypoint env env-file gpus group-add health-cmd health-interval
    health-retries health-start-interval health-start-period health-timeout io-maxbandwidth io-maxiops ipc isolation kernel-memory label
    label-file log-driver log-opt memory memory-reservation memory-swap memory-swappiness mount name oom-score-adj pid pids-limit platform
    pull runtime security-opt shm-size stop-signal stop-timeout storage-opt sysctl tmpfs ulimit user userns uts volume volume-driver
    volumes-from workdir`
      .split(/\s+/)
      .map((name) => [name, APP]),
  ),
  'add-host': HOLDER,
  expose: HOLDER,
  hostname: HOLDER,
  publish: HOLDER,
  dns: ownDns,
  'dns-opt': ownDns,
  'dns-option': ownDns,
  'dns-search': ownDns,
  ip: ownNetwork,
  ip6: ownNetwork,
  link: linked,
  'link-local-ip': ownNetwork,
  'mac-address': ownNetwork,
  net: HOLDER,
  'net-alias': HOLDER,
  network: HOLDER,
  'network-alias': HOLDER,
  restart: stays,
}

const SHORT: Record<string, string> = {
  attach: 'a',
  'cpu-shares': 'c',
  detach: 'd',
  env: 'e',
  hostname: 'h',
  interactive: 'i',
  label: 'l',
  memory: 'm',
  publish: 'p',
  'publish-all': 'P',
  quiet: 'q',
  tty: 't',
  user: 'u',
  volume: 'v',
  workdir: 'w',
}

const entry =
  (value: boolean) =>
  ([name, rule]: [string, FlagRule]): [string, DockerRunFlag] => [name, { rule, value, ...(SHORT[name] ? { short: SHORT[name] } : {}) }]

/** The table. `--help` is left out: tpx has its own. */
export const DOCKER_RUN_FLAGS: Record<string, DockerRunFlag> = Object.fromEntries([
  ...Object.entries(switches).map(entry(false)),
  ...Object.entries(withValue).map(entry(true)),
])

/** Long name of a one-letter flag. */
export const LONG_NAME: Record<string, string> = Object.fromEntries(Object.entries(SHORT).map(([long, short]) => [short, long]))
