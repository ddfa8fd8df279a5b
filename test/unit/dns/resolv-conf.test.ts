import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { clusterDomainOf, parseResolvConf, podSearchList, searchCandidates } from '../../../src/dns/resolv-conf.ts'

describe('resolv.conf', () => {
  it('parseResolvConf() reads name servers and the last search list, clusterDomainOf() finds the domain in it', () => {
    const conf = parseResolvConf(
      '# made by kubelet\nsearch x\nsearch tpx.svc.k8s.example. svc.k8s.example k8s.example\nnameserver 10.96.0.10\noptions ndots:5\nnameserver fd00::a ; second\n',
    )
    assert.deepEqual([conf.nameservers, conf.ndots], [['10.96.0.10', 'fd00::a'], 5])
    assert.equal(clusterDomainOf(conf), 'k8s.example')
    assert.equal(clusterDomainOf(parseResolvConf('search lan\n')), undefined)
  })

  it('searchCandidates() goes through the search list as libc does', () => {
    const conf = { ndots: 5, search: podSearchList('shop', 'corp.example') }
    const below = (name: string): string[] => [`${name}.shop.svc.corp.example`, `${name}.svc.corp.example`, `${name}.corp.example`]
    assert.deepEqual(searchCandidates('web', conf), [...below('web'), 'web'])
    assert.deepEqual(searchCandidates('a.b.c.d.e', conf), [...below('a.b.c.d.e'), 'a.b.c.d.e'])
    assert.deepEqual(searchCandidates('a.b.c.d.e.f', conf), ['a.b.c.d.e.f', ...below('a.b.c.d.e.f')])
    assert.deepEqual(searchCandidates('web.', conf), ['web'])
    assert.deepEqual(searchCandidates('web', parseResolvConf('nameserver 10.0.0.1\n')), ['web'])
  })
})
