import { Args } from '@oclif/core'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { useFlag } from '../cli/flags.ts'
import { useConnection } from '../session/connection.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { attachmentOwner } from '../session/attachment-owner.ts'

export default class Leave extends TpxCommand<typeof Leave> {
  static override summary = 'Give an attachment back: the workload of the cluster serves its traffic again.'
  static override args = { name: Args.string({ description: 'Name of the attachment.', required: true }) }
  static override flags = useFlag

  protected async answer(): Promise<Answer> {
    const { name } = this.args
    const { control, name: connection } = await useConnection({ engine: dockerEngine, root: this.config.root, use: this.flags.use })
    const { mount } = await control.call('leave', { name })
    control.close()
    // The engine's client takes a tenth of a second to load: only for attachments with volumes.
    if (mount) {
      const { unmountWorkloadVolumes } = await import('../container/workload-volumes.ts')
      await unmountWorkloadVolumes(await dockerEngine(), attachmentOwner(connection, name))
    }
    return { data: { name }, text: `Left "${name}"\n` }
  }
}
