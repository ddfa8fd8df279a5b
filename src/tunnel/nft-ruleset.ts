import { TpxError } from '../base/error.ts'
import { runTool } from './run-tool.ts'

/** How a written-back SYN gets to the tunnel: by nft's tproxy to one listener, or to a listener on the destination itself. */
export type AdmissionMode = 'listener' | 'tproxy'

/** What the rules are made of. */
export type RulesetOptions = {
  device: string
  /** Firewall mark of the packets that stay in this machine. */
  mark: number
  /** Where tproxy leads, per family; IPv6 is left out where the namespace has none. */
  targets: { address: string; port: number }[]
}

// chain steer: everything of a connection but its SYN is marked and thereby routed to this machine instead of the device.
// chain admit: a SYN that comes out of the device is one that the tunnel wrote back.
// The table is replaced as a whole, in one transaction; other tables (Docker's DNS) are left alone.
/** The rules as text for `nft -f`. */
export function formatRuleset(mode: AdmissionMode, { device, mark, targets }: RulesetOptions): string {
  const admit = `iifname "${device}" tcp flags & (syn|ack) == syn meta mark set ${mark}`
  const lines =
    mode === 'listener'
      ? [admit]
      : targets.map(({ address, port }) =>
          address.includes(':')
            ? `meta nfproto ipv6 ${admit} tproxy ip6 to [${address}]:${port} accept`
            : `meta nfproto ipv4 ${admit} tproxy ip to ${address}:${port} accept`,
        )
  return `table inet tpx
delete table inet tpx
table inet tpx {
  chain steer {
    type route hook output priority mangle;
    oifname "${device}" tcp flags & (syn|ack) != syn meta mark set ${mark}
  }
  chain admit {
    type filter hook prerouting priority mangle;
    ${lines.join('\n    ')}
  }
}
`
}

/**
 * Puts the rules in place, in the first way of `modes` that the kernel knows.
 * @returns the way taken
 * @throws TpxError TUNNEL_FAILED when the kernel knows none
 */
export async function loadRuleset(modes: readonly AdmissionMode[], options: RulesetOptions): Promise<AdmissionMode> {
  let reason = ''
  for (const mode of modes) {
    const { status, stderr } = await runTool('nft', ['-f', '-'], formatRuleset(mode, options))
    if (status === 0) return mode
    reason = firstLine(stderr) || `nft ended with status ${status}`
    if (/not permitted/i.test(reason)) {
      throw new TpxError('TUNNEL_FAILED', `Cannot load the nftables rules of the tunnel: ${reason}`, {
        hint: 'The tunnel container needs the capability NET_ADMIN',
      })
    }
  }

  throw new TpxError('TUNNEL_FAILED', `The kernel of the Docker Engine lacks nf_tables: ${reason}`, {
    hint: 'On the machine of the Docker Engine run "modprobe nf_tables nft_tproxy", or use a kernel with CONFIG_NF_TABLES and CONFIG_NFT_TPROXY',
  })
}

function firstLine(text: string): string {
  return text.split('\n').find((line) => line.trim() !== '') ?? ''
}
