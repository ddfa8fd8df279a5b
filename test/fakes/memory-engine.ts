import type Docker from 'dockerode'
import { TpxError } from '../../src/base/error.ts'
import type { ContainerEngine, ContainerSpec, ContainerSummary, EngineInfo } from '../../src/container/container-engine.ts'

type Made = { created: number; id: string; running: boolean; spec: ContainerSpec }

const matches = (labels: Record<string, string> | undefined, wanted: Record<string, string | null>): boolean =>
  Object.entries(wanted).every(([key, value]) => labels?.[key] !== undefined && (value === null || labels[key] === value))

/** An engine in memory: it knows containers, volumes and images, and runs nothing. */
export class MemoryEngine implements ContainerEngine {
  readonly images = new Set<string>()
  readonly networks = new Set<string>(['bridge'])
  readonly #containers = new Map<string, Made>()
  readonly #volumes = new Map<string, Record<string, string>>()
  #next = 1
  /** Set to make the next start fail, as the real engine does for a missing device. */
  failNextStart: Error | undefined

  #find(idOrName: string): Made | undefined {
    return this.#containers.get(idOrName) ?? [...this.#containers.values()].find(({ spec }) => spec.name === idOrName)
  }

  async createContainer(spec: ContainerSpec): Promise<string> {
    if (!this.images.has(String(spec.Image))) throw new TpxError('IMAGE_NOT_FOUND', `No such image: "${spec.Image}"`)
    if (this.#find(spec.name))
      throw Object.assign(new Error(`Conflict. The container name "/${spec.name}" is already in use`), { statusCode: 409 })
    const id = (this.#next++).toString(16).padStart(64, '0')
    this.#containers.set(id, { created: this.#next, id, running: false, spec })
    return id
  }

  async createVolume(name: string, labels: Record<string, string>): Promise<{ mountpoint: string }> {
    if (!this.#volumes.has(name)) this.#volumes.set(name, labels)
    return { mountpoint: `/volumes/${name}/_data` }
  }

  async imageId(reference: string): Promise<string | undefined> {
    return this.images.has(reference) ? `memory:${reference}` : undefined
  }

  async hasNetwork(name: string): Promise<boolean> {
    return this.networks.has(name)
  }

  async info(): Promise<EngineInfo> {
    return {
      arch: 'x86_64',
      hostName: 'memory',
      id: 'MEMORY',
      kernelVersion: '6',
      operatingSystem: 'memory',
      rootless: false,
      version: '20.10',
    }
  }

  async inspect(id: string): Promise<Docker.ContainerInspectInfo> {
    const made = this.#find(id)
    if (!made) throw Object.assign(new Error(`No such container: ${id}`), { statusCode: 404 })
    const { running, spec } = made
    const answer = {
      Config: { Env: spec.Env ?? [], Labels: spec.Labels ?? {} },
      HostConfig: spec.HostConfig,
      Id: made.id,
      Image: `memory:${spec.Image}`,
      Name: `/${spec.name}`,
      State: { ExitCode: 0, Running: running, StartedAt: '' },
    }
    return answer as unknown as Docker.ContainerInspectInfo
  }

  async listContainers(labels: Record<string, string | null>): Promise<ContainerSummary[]> {
    const found = [...this.#containers.values()].filter(({ spec }) => matches(spec.Labels, labels))
    return found.map(({ created, id, running, spec }) => ({
      created,
      id,
      labels: { ...spec.Labels },
      name: spec.name,
      state: running ? 'running' : 'created',
    }))
  }

  async listVolumes(
    labels: Record<string, string | null>,
  ): Promise<{ labels: Record<string, string>; mountpoint: string; name: string }[]> {
    return [...this.#volumes]
      .filter(([, own]) => matches(own, labels))
      .map(([name, own]) => ({ labels: own, mountpoint: `/volumes/${name}/_data`, name }))
  }

  async logs(): Promise<string> {
    return ''
  }

  async removeContainer(id: string): Promise<void> {
    const made = this.#find(id)
    if (made) this.#containers.delete(made.id)
  }

  async removeVolume(name: string): Promise<void> {
    this.#volumes.delete(name)
  }

  async startContainer(id: string): Promise<void> {
    const failure = this.failNextStart
    this.failNextStart = undefined
    if (failure) throw failure
    const made = this.#find(id)
    if (!made) throw Object.assign(new Error(`No such container: ${id}`), { statusCode: 404 })
    made.running = true
  }

  async stopContainer(id: string): Promise<void> {
    const made = this.#find(id)
    if (made) made.running = false
  }

  async runToEnd(spec: ContainerSpec): Promise<{ output: string; status: number }> {
    const id = await this.createContainer(spec)
    await this.removeContainer(id)
    return { output: '', status: 0 }
  }
}
