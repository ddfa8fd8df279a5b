import { Flags } from '@oclif/core'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { useFlag } from '../cli/flags.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { openProxy } from '../session/proxy.ts'

export default class Proxy extends TpxCommand<typeof Proxy> {
  static override summary = 'Let programs of this host into a connection: a SOCKS5 and HTTP proxy on a loopback port, until Ctrl-C.'
  static override description =
    'One port of 127.0.0.1 takes SOCKS5, HTTP CONNECT and plain HTTP. Names are resolved in the cluster, with the search list of a Pod of ' +
    'the connected namespace. What is not in the cluster is dialed from this host, as if there were no proxy. Every user of this host ' +
    'can use the port while it is open. Browsers: set the automatic configuration URL that is printed.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    'curl --proxy socks5h://127.0.0.1:1080 http://web-app/',
    'chromium --proxy-pac-url=http://127.0.0.1:1080/proxy.pac',
  ]
  static override flags = {
    ...useFlag,
    port: Flags.integer({
      char: 'p',
      default: 1080,
      description: 'Port of 127.0.0.1; 0 for any that is free.',
      helpValue: 'PORT',
      max: 65_535,
      min: 0,
    }),
  }

  #watching: Promise<never> | undefined

  /** Goes on until a signal ends the process, which leaves nothing behind, or the connection is ended. */
  override async run(): Promise<void> {
    await super.run()
    await this.#watching
  }

  protected async answer(): Promise<Answer> {
    const proxy = await openProxy({
      engine: dockerEngine,
      onFailure: ({ text }) => this.progress(text),
      port: this.flags.port,
      root: this.config.root,
      use: this.flags.use,
    })
    this.#watching = proxy.watch((text) => this.progress(text))
    this.#watching.catch(() => {})
    const { connection, port } = proxy
    const data = {
      connection,
      http: `http://127.0.0.1:${port}`,
      pac: `http://127.0.0.1:${port}/proxy.pac`,
      port,
      socks5: `socks5h://127.0.0.1:${port}`,
    }
    const text = [
      `Proxy into connection "${connection}": ${data.socks5} and ${data.http}`,
      `For browsers: ${data.pac}`,
      'End it with Ctrl-C',
    ]
    return { data, text: `${text.join('\n')}\n` }
  }
}
