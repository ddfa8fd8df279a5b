/** Where the peer container serves the gate's data sessions. */
export const FAR_PORT = 7000

/** Services of the peer container, by what they do. */
export const PORT = {
  /** Sends everything back; a FIN is answered by a FIN. */
  echo: 7001,
  /** Resets each connection at once. */
  reset: 7002,
  /** Reads to the end, then answers "<bytes> <sha256>" and ends. */
  upload: 7003,
  /** Reads a number and a line feed, sends so many bytes and ends. */
  download: 7004,
  /** Says "bye" and ends at once; afterwards keeps what it reads for {@link PORT.heard}. */
  byeFirst: 7005,
  /** Tells what the last connection to {@link PORT.byeFirst} sent until its end. */
  heard: 7006,
  /** Sends "begin", and resets when it has read something. */
  resetLater: 7007,
  /** Sends bytes without end. */
  endless: 7008,
  /** Loses all data sessions. */
  loseSessions: 7009,
  /** Ends at once, without a byte. */
  emptyEnd: 7011,
  /** Reads to the end, then ends. */
  sink: 7010,
  /** Reads a number, loses all data sessions, and takes new ones only after so many milliseconds. */
  awayFor: 7012,
  /** Nobody listens. */
  closed: 7999,
} as const

/** Subnets of the test: a destination's subnet says how the peer dials. */
export const SUBNET = {
  blackHole: '10.96.3.0/24',
  noRoute: '10.96.2.0/24',
  service: '10.96.0.0/24',
  service6: 'fd96::/64',
  unreachable: '10.96.1.0/24',
} as const
