import Docker from 'dockerode'
import { systemCode, TpxError } from '../base/error.ts'
import type { ContainerEngine, ContainerSpec, ContainerSummary, EngineInfo } from './container-engine.ts'
import { labelFilter } from './labels.ts'

type EngineError = Error & { statusCode?: number }

const NOT_THERE = new Set([304, 404])
const UNREACHABLE = new Set(['ECONNREFUSED', 'ENOENT', 'EACCES', 'ENOTFOUND', 'ETIMEDOUT', 'EHOSTUNREACH', 'ECONNRESET', 'EPIPE'])

const address = (): string => process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock'

/** A socket error means that there is no engine; everything else is the engine's own answer. */
function translate(error: unknown): never {
  const code = systemCode(error)
  if (code && UNREACHABLE.has(code) && (error as EngineError).statusCode === undefined) {
    const hint =
      code === 'EACCES'
        ? 'Add your user to the docker group, or set DOCKER_HOST'
        : 'Start the Docker Engine, or set DOCKER_HOST; "docker info" must work'
    throw new TpxError('DOCKER_UNREACHABLE', `Cannot reach the Docker Engine at "${address()}": ${code}`, { cause: error, hint })
  }
  throw error
}

const unlessGone = (error: EngineError): void => {
  if (!NOT_THERE.has(error.statusCode ?? 0)) translate(error)
}

/** The multiplexed output of a container without TTY (Engine API ContainerAttach, "Stream format"), as text. */
function demultiplex(bytes: Buffer): string {
  const parts: Buffer[] = []
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = bytes.readUInt32BE(at + 4)
    parts.push(bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return Buffer.concat(parts).toString('utf8')
}

/** The engine of this host: DOCKER_HOST, else the default socket. */
export class DockerodeEngine implements ContainerEngine {
  readonly #docker: Docker

  constructor(docker: Docker = new Docker()) {
    this.#docker = docker
  }

  async createContainer(spec: ContainerSpec): Promise<string> {
    const container = await this.#docker.createContainer(spec).catch((error: EngineError) => {
      if (error.statusCode === 404 && /no such image/i.test(error.message))
        throw new TpxError('IMAGE_NOT_FOUND', `No such image: "${spec.Image}"`, {
          cause: error,
          hint: 'Build it ("scripts/images" for tpx\'s own), or pull it',
        })
      return translate(error)
    })
    return container.id
  }

  async createVolume(name: string, labels: Record<string, string>): Promise<{ mountpoint: string }> {
    await this.#docker.createVolume({ Labels: labels, Name: name }).catch(translate)
    const { Mountpoint } = await this.#docker.getVolume(name).inspect().catch(translate)
    return { mountpoint: Mountpoint }
  }

  async imageId(reference: string): Promise<string | undefined> {
    return (await this.#docker.getImage(reference).inspect().catch(unlessGone))?.Id
  }

  async hasNetwork(name: string): Promise<boolean> {
    const found = await this.#docker.getNetwork(name).inspect().catch(unlessGone)
    return found !== undefined
  }

  async info(): Promise<EngineInfo> {
    const info = (await this.#docker.info().catch(translate)) as Record<string, string | undefined> & { SecurityOptions?: string[] }
    const text = (key: string): string => info[key] ?? ''
    return {
      arch: text('Architecture'),
      hostName: text('Name'),
      id: text('ID'),
      kernelVersion: text('KernelVersion'),
      operatingSystem: text('OperatingSystem'),
      rootless: (info.SecurityOptions ?? []).some((option) => option.includes('rootless')),
      version: text('ServerVersion'),
    }
  }

  inspect(id: string): Promise<Docker.ContainerInspectInfo> {
    return this.#docker.getContainer(id).inspect().catch(translate)
  }

  async listContainers(labels: Record<string, string | null>): Promise<ContainerSummary[]> {
    const found = await this.#docker.listContainers({ all: true, filters: labelFilter(labels) }).catch(translate)
    return found.map((one) => ({
      created: one.Created,
      id: one.Id,
      labels: one.Labels,
      name: one.Names[0]?.slice(1) ?? '',
      state: one.State,
    }))
  }

  async listVolumes(
    labels: Record<string, string | null>,
  ): Promise<{ labels: Record<string, string>; mountpoint: string; name: string }[]> {
    const { Volumes } = await this.#docker.listVolumes({ filters: labelFilter(labels) }).catch(translate)
    return (Volumes ?? []).map((one) => ({ labels: one.Labels ?? {}, mountpoint: one.Mountpoint, name: one.Name }))
  }

  async logs(id: string, tail: number): Promise<string> {
    const bytes = await this.#docker.getContainer(id).logs({ follow: false, stderr: true, stdout: true, tail }).catch(unlessGone)
    return bytes ? demultiplex(bytes) : ''
  }

  async removeContainer(id: string): Promise<void> {
    await this.#docker
      .getContainer(id)
      .remove({ force: true, v: true })
      .catch((error: EngineError) => {
        // 409: another removal is under way, e.g. --rm
        if (error.statusCode !== 409) unlessGone(error)
      })
  }

  async removeVolume(name: string): Promise<void> {
    await this.#docker.getVolume(name).remove().catch(unlessGone)
  }

  async startContainer(id: string): Promise<void> {
    await this.#docker
      .getContainer(id)
      .start()
      .catch((error: EngineError) => {
        if (error.statusCode !== 304) translate(error)
      })
  }

  async stopContainer(id: string, seconds: number): Promise<void> {
    await this.#docker.getContainer(id).stop({ t: seconds }).catch(unlessGone)
  }

  async runToEnd(spec: ContainerSpec): Promise<{ output: string; status: number }> {
    const id = await this.createContainer(spec)
    try {
      const container = this.#docker.getContainer(id)
      const ended = container.wait({ condition: 'next-exit' }) as Promise<{ StatusCode: number }>
      ended.catch(() => {})
      await this.startContainer(id)
      const { StatusCode } = await ended
      return { output: await this.logs(id, 100), status: StatusCode }
    } finally {
      await this.removeContainer(id)
    }
  }
}
