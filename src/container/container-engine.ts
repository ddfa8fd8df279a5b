import type Docker from 'dockerode'

/** What the engine says of itself (Engine API SystemInfo). */
export type EngineInfo = {
  arch: string
  hostName: string
  id: string
  kernelVersion: string
  operatingSystem: string
  rootless: boolean
  version: string
}

/** A container as the engine lists it. */
export type ContainerSummary = { created: number; id: string; labels: Record<string, string>; name: string; state: string }

/** Engine API ContainerCreate, with a name. */
export type ContainerSpec = Docker.ContainerCreateOptions & { name: string }

/**
 * The Docker Engine, as far as tpx needs it. Removing what is not there is no error.
 * Every method throws TpxError DOCKER_UNREACHABLE when the engine does not answer.
 */
export interface ContainerEngine {
  /** @throws TpxError IMAGE_NOT_FOUND when the image is not there; the engine's own error otherwise */
  createContainer(spec: ContainerSpec): Promise<string>
  createVolume(name: string, labels: Record<string, string>): Promise<{ mountpoint: string }>
  hasNetwork(name: string): Promise<boolean>
  /** What a name stands for now, as a container's `Image` tells it; undefined where it is not there. */
  imageId(reference: string): Promise<string | undefined>
  info(): Promise<EngineInfo>
  inspect(id: string): Promise<Docker.ContainerInspectInfo>
  listContainers(labels: Record<string, string | null>): Promise<ContainerSummary[]>
  listVolumes(labels: Record<string, string | null>): Promise<{ labels: Record<string, string>; mountpoint: string; name: string }[]>
  /** The last `tail` lines of both outputs, as text. */
  logs(id: string, tail: number): Promise<string>
  /** Kills and removes, with anonymous volumes. */
  removeContainer(id: string): Promise<void>
  removeVolume(name: string): Promise<void>
  /** @throws the engine's error, e.g. a missing device */
  startContainer(id: string): Promise<void>
  /** SIGTERM, then SIGKILL after `seconds`. */
  stopContainer(id: string, seconds: number): Promise<void>
  /** Runs to the end and answers exit status and output; the container is removed. */
  runToEnd(spec: ContainerSpec): Promise<{ output: string; status: number }>
}
