// Packets as the Linux kernel sends them, taken apart field by field.

/** Bytes of hexadecimal text; everything behind "//" and all white space is left out. */
export function bytesOf(text: string): Uint8Array {
  const hex = text.replaceAll(/\/\/.*$/gm, '').replaceAll(/\s/g, '')
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

/** SYN from 198.18.0.1:40000 to 10.96.0.10:80. */
export const SYN4 = bytesOf(`
  45          // version 4, header of 5 words
  00          // type of service
  003c        // total length 60
  1c46        // identification
  4000        // don't fragment, offset 0
  40          // time to live 64
  06          // protocol TCP
  4df9        // header checksum
  c6120001    // source 198.18.0.1
  0a60000a    // destination 10.96.0.10
  9c40        // source port 40000
  0050        // destination port 80
  fffffffe    // sequence number: the initial one
  00000000    // acknowledgment number
  a0          // header of 10 words
  02          // flags: SYN
  ffd7        // window
  0000        // checksum, not looked at
  0000        // urgent pointer
  0204ffd7    // option: maximum segment size 65495
  0402        // option: selective acknowledgment permitted
  080a 00000001 00000000 // option: time stamps
  01          // option: no operation
  030307      // option: window scale 7
`)

/** The same over IPv6, fd00:7470::1 to fd96::10, with a destination options header in front. */
export const SYN6 = bytesOf(`
  6 0 0 00000 // version 6, traffic class, flow label
  001c        // payload length 28
  3c          // next header: destination options (60)
  40          // hop limit 64
  fd007470000000000000000000000001 // source
  fd960000000000000000000000000010 // destination
  06          // next header: TCP
  00          // length: 8 bytes
  0104 00000000 // option: padding of 6 bytes
  9c40        // source port 40000
  0050        // destination port 80
  00000010    // sequence number
  00000000    // acknowledgment number
  50          // header of 5 words
  02          // flags: SYN
  ffd7        // window
  0000        // checksum
  0000        // urgent pointer
`)

/** Datagram "hi" from 198.18.0.1:5000 to 10.96.0.10:53. */
export const UDP4 = bytesOf(`
  45 00 001e  // version, header words, type of service, total length 30
  0000 4000   // identification, don't fragment
  40 11       // time to live 64, protocol UDP
  6a52        // header checksum
  c6120001    // source 198.18.0.1
  0a60000a    // destination 10.96.0.10
  1388        // source port 5000
  0035        // destination port 53
  000a        // length 10
  b336        // checksum
  6869        // "hi"
`)
