import type Docker from 'dockerode'
import { DockerodeEngine } from '../container/dockerode-engine.ts'
import { LABEL } from '../container/labels.ts'
import type { Ownership } from '../wire/control.ts'

/**
 * What app containers of a connection belong to although nobody says that it is theirs: their owner was killed together with the
 * link that would have noticed.
 * @param isOwned tells of the value of the label dev.tpx.owner
 */
export async function findOrphans(docker: Docker, connection: string, isOwned: (owner: string) => boolean): Promise<Ownership[]> {
  const apps = await new DockerodeEngine(docker).listContainers({ [LABEL.connection]: connection, [LABEL.role]: 'app' })
  return apps.flatMap(({ labels }) => {
    const owner = labels[LABEL.owner]
    if (!owner || isOwned(owner)) return []
    const attachments = (labels[LABEL.attachments] ?? '').split(',').filter(Boolean)
    return [{ attachments, owner, quit: labels[LABEL.endsConnection] === 'true' }]
  })
}
