import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { clusterDomainOf, parseResolvConf } from '../../../src/traffic-manager/resolv-conf.ts'

describe('resolv.conf', () => {
  it('parseResolvConf() reads name servers and the last search list, clusterDomainOf() finds the domain in it', () => {
    const conf = parseResolvConf(
      '# made by kubelet\nsearch x\nsearch tpx.svc.k8s.example. svc.k8s.example k8s.example\nnameserver 10.96.0.10\noptions ndots:5\nnameserver fd00::a ; second\n',
    )
    assert.deepEqual(conf.nameservers, ['10.96.0.10', 'fd00::a'])
    assert.equal(clusterDomainOf(conf), 'k8s.example')
    assert.equal(clusterDomainOf(parseResolvConf('search lan\n')), undefined)
  })
})
