import type { ContainerEngine } from '../container/container-engine.ts'

/** The engine of this host; its client is loaded when it is first needed. */
export async function dockerEngine(): Promise<ContainerEngine> {
  const { DockerodeEngine } = await import('../container/dockerode-engine.ts')
  return new DockerodeEngine()
}
