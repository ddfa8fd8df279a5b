import { Flags } from '@oclif/core'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { useFlag } from '../cli/flags.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { listConnections, selectConnection } from '../session/connection.ts'

export default class Quit extends TpxCommand<typeof Quit> {
  static override summary = 'End a connection: leave its attachments, remove its containers and volumes.'
  static override flags = { ...useFlag, all: Flags.boolean({ char: 'a', description: 'End all connections.', exclusive: ['use'] }) }

  protected async answer(): Promise<Answer> {
    const [{ disconnect }, engine] = await Promise.all([import('../session/disconnect.ts'), dockerEngine()])
    const found = (await listConnections(engine)).map((value) => ({ name: value.settings.name, value }))
    const ended = this.flags.all ? found.map(({ value }) => value) : [selectConnection(found, this.flags.use)]
    for (const connection of ended) await disconnect(engine, connection)
    const names = ended.map(({ settings }) => settings.name)
    return { data: { ended: names }, text: names.length ? `Ended: ${names.join(', ')}\n` : 'There was no connection\n' }
  }
}
