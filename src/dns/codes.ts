/** Response codes (RFC 1035 §4.1.1, RFC 6891 for BADVERS). */
export const RCODE = { ok: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5, badVers: 16 } as const

/** Record types by number (RFC 1035 §3.2.2, RFC 3596, RFC 2782, RFC 6891). */
export const TYPE = { a: 1, ns: 2, cname: 5, soa: 6, ptr: 12, mx: 15, txt: 16, aaaa: 28, srv: 33, opt: 41 } as const

/** The types that the cluster's DNS is asked for; of all others a name of the cluster has no records. */
export const CLUSTER_TYPES: ReadonlySet<number> = new Set([
  TYPE.a,
  TYPE.ns,
  TYPE.cname,
  TYPE.soa,
  TYPE.ptr,
  TYPE.mx,
  TYPE.txt,
  TYPE.aaaa,
  TYPE.srv,
])

/** The Internet class. */
export const CLASS_IN = 1

/** Info codes of Extended DNS Errors (RFC 8914 §4). */
export const EXTENDED_ERROR = { filtered: 17, noReachableAuthority: 22, networkError: 23 } as const
