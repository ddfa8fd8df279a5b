import { holderName } from '../container/holder-container.ts'
import type { WorkloadVolume } from '../container/workload-volumes.ts'
import type { AttachParams } from '../wire/control.ts'
import { attachmentOwner } from './attachment-owner.ts'
import type { OpenConnection } from './connection.ts'
import { dockerEngine } from './docker-engine.ts'
import { checkEnvironmentFile, type EnvironmentFile, writeEnvironmentFile } from './environment-file.ts'
import { type ShownAttachment, withoutSecrets } from './status.ts'

/** One `tpx intercept`. */
export type InterceptOptions = {
  files: EnvironmentFile[]
  onProgress: (text: string) => void
  open: () => Promise<OpenConnection>
  params: AttachParams
}

/**
 * Attaches and leaves the attachment standing. If writing a file or mounting a volume fails, the attachment is given back.
 * @throws TpxError of the first step that failed
 */
export async function intercept(options: InterceptOptions): Promise<{ attachment: ShownAttachment; volumes: WorkloadVolume[] }> {
  const { files, onProgress, open, params } = options
  for (const file of files) checkEnvironmentFile(file)
  const { control, name: connection } = await open()
  try {
    const attachment = await control.call('attach', params, { onProgress })
    try {
      for (const file of files) {
        const skipped = writeEnvironmentFile(file, attachment.environment)
        if (skipped.length) onProgress(`Left out of "${file.path}", whose syntax has no line breaks: ${skipped.join(', ')}`)
      }
      const volumes: WorkloadVolume[] = []
      if (params.mount) {
        const { mountWorkloadVolumes } = await import('../container/workload-volumes.ts')
        const owner = attachmentOwner(connection, params.name)
        volumes.push(
          ...(await mountWorkloadVolumes(await dockerEngine(), {
            attachment,
            connection,
            holderId: holderName(connection),
            owner,
            skipPaths: new Set(),
          })),
        )
      }
      return { attachment: withoutSecrets(attachment), volumes }
    } catch (error) {
      await control.call('leave', { name: params.name }).catch(() => {})
      throw error
    }
  } finally {
    control.close()
  }
}
