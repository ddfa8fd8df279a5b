import { rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import type Docker from 'dockerode'
import { messageOf, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { VERSION } from '../base/version.ts'
import { DIAL_SOCKET } from '../wire/carrier.ts'
import type { HostFacts, LinkStatus } from '../wire/control.ts'
import { type Choice, isSameChoice, type Variables, writeLinkEnvironment } from '../wire/link-environment.ts'
import { ApiMonitor } from './api-monitor.ts'
import { runExecCarrier } from './carrier-exec.ts'
import { openUnixCarrier } from './carrier-unix.ts'
import { ClusterAccess, type ClusterFacts } from './cluster-access.ts'
import { serveCli } from './control-server.ts'
import { DialRelay } from './dial-relay.ts'
import { adoptEnvironment } from './environment.ts'
import { Guardian } from './guardian.ts'
import { watchHostFacts } from './host-facts.ts'
import { HostResolver } from './host-resolver.ts'
import { makePrivateDir } from './private-dir.ts'
import { preflight } from './preflight.ts'
import type { LinkSettings } from './settings.ts'
import { TargetRouter } from './target-router.ts'
import { TunnelControl } from './tunnel-control.ts'
import { TunnelLeg } from './tunnel-leg.ts'
import { alreadyRunning, bindUnixSocket, type BoundSocket } from './unix-socket.ts'

/** A link without a holder and without anybody who talks to it ends after this time. */
const ORPHAN_MS = 120_000
/** How much of what a tunnel gave out may be lost with it. */
const REFRESH_MS = 5000

/** The link's parts, and what holds them together. */
export class Link {
  readonly #control = new TunnelControl()
  readonly #dials: DialRelay
  readonly #end = new AbortController()
  readonly #guardian: Guardian
  readonly #logger: Logger
  /** Streams that come before the preflight has ended wait for this. */
  readonly #ready = Promise.withResolvers<ClusterAccess>()
  readonly #onNotice: (text: string) => void
  readonly #quit: () => void
  readonly #router: TargetRouter
  readonly #settings: LinkSettings
  readonly #tunnelLeg: TunnelLeg
  #api: ApiMonitor | undefined
  #cluster: ClusterAccess | undefined
  #clients = 0
  #docker: Promise<Docker> | undefined
  #execRuns = false
  #found: { clusterDomain?: string } = {}
  #sockets: BoundSocket[] = []

  /**
   * @param quit called when the link is to end by itself
   * @param onNotice gets what a credential plugin writes on stderr
   */
  constructor(settings: LinkSettings, { logger, onNotice, quit }: { logger: Logger; onNotice: (text: string) => void; quit: () => void }) {
    this.#settings = settings
    this.#logger = logger
    this.#onNotice = onNotice
    this.#quit = (): void => {
      // With the connection all of it ends, unless another link has taken over.
      if (this.#sockets[0]?.isOurs()) rmSync(settings.runtimeDir, { force: true, recursive: true })
      quit()
    }
    this.#guardian = new Guardian({
      ...settings,
      control: this.#control,
      docker: () => this.#openDocker(),
      logger,
      quit: this.#quit,
      tunnelRuns: (docker) => {
        this.#chooseCarrier(docker).catch((error: unknown) => logger.warn({ reason: messageOf(error) }, 'exec carrier failed'))
      },
    })
    this.#tunnelLeg = new TunnelLeg({ container: settings.tunnelContainer, control: this.#control, guardian: this.#guardian })
    const resolver = new HostResolver({
      hostsFile: process.env['TPX_HOSTS_FILE'],
      logger,
      nameservers: process.env['TPX_HOST_NAMESERVERS'],
    })
    this.#dials = new DialRelay({ control: this.#control, logger, tunnelContainer: settings.tunnelContainer })
    const destinations = {
      cluster: this.#ready.promise,
      control: this.#control,
      dial: this.#dials,
      dns: (stream: Duplex) => resolver.serve(stream),
    }
    this.#router = new TargetRouter(destinations, logger, this.#end.signal)
  }

  /**
   * Binds the sockets, then asks the cluster: what comes early waits for the answer.
   * @throws TpxError LINK_FAILED, KUBECONFIG_INVALID, CONTEXT_NOT_FOUND and what preflight() throws
   */
  async start(): Promise<ClusterFacts & { clusterDomain?: string }> {
    const { carrier, namespace, runtimeDir } = this.#settings
    makePrivateDir(runtimeDir)
    const control = await bindUnixSocket(join(runtimeDir, 'control.sock'), 0o600, (socket) => this.#serve(socket))
    this.#sockets.push(control)
    this.#sockets.push(await bindUnixSocket(join(runtimeDir, DIAL_SOCKET), 0o600, (socket) => void this.#dials.serve(socket)))
    if (carrier !== 'exec') this.#sockets.push(await openUnixCarrier(runtimeDir, (socket) => void this.#router.route(socket)))
    const cluster = await this.#connect(control)
    await this.#followHost(cluster)
    writeLinkEnvironment(runtimeDir, process.env)
    this.#ready.resolve(cluster)
    this.#look()
    return { ...cluster.facts(namespace), ...this.#found }
  }

  /** Closes everything and removes the sockets. */
  stop(): void {
    this.#end.abort()
    this.#control.close()
    for (const socket of this.#sockets) socket.close()
  }

  #serve(socket: Socket): void {
    this.#clients += 1
    socket.once('close', () => (this.#clients -= 1))
    serveCli(socket, {
      control: this.#control,
      guardian: this.#guardian,
      logger: this.#logger,
      onEnvironment: (variables, choice) => this.#adopt(variables, choice),
      quit: this.#quit,
      status: () => this.#status(),
      tunnelContainer: this.#settings.tunnelContainer,
    })
  }

  #adopt(variables: Variables, choice: Choice): void {
    const { connection } = this.#settings
    if (!isSameChoice({ ...this.#settings, kubeconfig: process.env['KUBECONFIG'] }, choice))
      throw new TpxError(
        'CONNECTION_EXISTS',
        `The link of a connection "${connection}" to another place, or as another user, is still there`,
        {
          hint: 'Try again in a moment, or give this connection another name with --name',
        },
      )
    adoptEnvironment(variables)
    writeLinkEnvironment(this.#settings.runtimeDir, process.env)
    this.#cluster?.retryCredentials()
  }

  async #connect(control: BoundSocket): Promise<ClusterAccess> {
    const cluster = await ClusterAccess.load(this.#settings, this.#onNotice)
    const { namespace } = cluster.facts(this.#settings.namespace)
    const namespaces = { managerNamespace: this.#settings.managerNamespace, namespace }
    if (!this.#settings.again) this.#found = await preflight(cluster.kubeConfig, namespaces, this.#end.signal)
    // Two links that found the same stale socket: the second one has replaced our file.
    if (!control.isOurs()) throw alreadyRunning(join(this.#settings.runtimeDir, 'control.sock'))
    this.#cluster = cluster
    this.#api = new ApiMonitor({ probe: () => cluster.probe(), server: cluster.facts(this.#settings.namespace).server })
    return cluster
  }

  /** What Docker is needed for begins only after the link is ready. */
  #look(): void {
    this.#guardian.watch(this.#end.signal).catch((error: unknown) => this.#logger.error({ reason: messageOf(error) }, 'guardian failed'))
    setInterval(() => {
      if (!this.#guardian.holderSeen && !this.#clients) this.#quit()
    }, ORPHAN_MS).unref()
  }

  /** Keeps the tunnel informed of this host; returns when the first facts are known. */
  #followHost(cluster: ClusterAccess): Promise<void> {
    const first = Promise.withResolvers<void>()
    const tell = (facts: HostFacts): void => {
      this.#control.tell(facts)
      first.resolve()
    }
    const { namespace } = this.#settings
    watchHostFacts(() => cluster.facts(namespace).server, tell, this.#end.signal).catch((error: unknown) => {
      this.#logger.warn({ reason: messageOf(error) }, 'cannot look at the networks of this host')
      first.resolve()
    })
    setInterval(() => void this.#control.refresh(), REFRESH_MS).unref()
    return first.promise
  }

  async #status(): Promise<LinkStatus> {
    const { context, managerNamespace, namespace } = this.#settings
    const facts = this.#cluster?.facts(namespace)
    const api = this.#api ? await this.#api.leg() : ({ name: 'api', state: 'connecting' } as const)
    return {
      carrier: this.#execRuns ? 'exec' : 'unix',
      context: facts?.context ?? context ?? '',
      legs: [this.#tunnelLeg.leg(), api],
      managerNamespace,
      namespace: facts?.namespace ?? namespace ?? '',
      portForward: this.#cluster?.transport ?? null,
      pid: process.pid,
      residentBytes: process.memoryUsage.rss(),
      server: facts?.server ?? '',
      version: VERSION,
    }
  }

  async #chooseCarrier(docker: Docker): Promise<void> {
    const { carrier, tunnelContainer: container } = this.#settings
    if (this.#execRuns || carrier === 'unix') return
    if (carrier === 'auto') {
      const { Config } = await docker.getContainer(container).inspect()
      if (!Config.Env.includes('TPX_CARRIER=exec')) return
    }

    if (this.#execRuns) return
    this.#execRuns = true
    await runExecCarrier({
      container,
      docker,
      logger: this.#logger,
      route: (stream, taken) => this.#router.route(stream, taken),
      signal: this.#end.signal,
    })
  }

  #openDocker(): Promise<Docker> {
    // Lazily: dockerode costs 90 ms, and nothing before "ready" needs it.
    this.#docker ??= import('dockerode').then(({ default: Dockerode }) => new Dockerode())
    return this.#docker
  }
}
