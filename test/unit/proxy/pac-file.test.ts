import assert from 'node:assert/strict'
import { BlockList } from 'node:net'
import { test } from 'node:test'
import { createContext, runInContext } from 'node:vm'
import { type ClusterZone, pacFile } from '../../../src/proxy/pac-file.ts'

const zone: ClusterZone = {
  clusterDomain: 'cluster.local',
  includeSuffixes: ['.corp.example'],
  namespace: 'shop',
  subnets: ['10.96.0.0/12', '10.244.1.0/24', 'fd00:96::/112'],
}

/** Runs the file as a browser does. */
function proxyFor(host: string, of: ClusterZone = zone): string {
  const isInNet = (address: string, net: string, mask: string): boolean => {
    const bits = mask.split('.').map((part) => Number(part).toString(2).padStart(8, '0'))
    const list = new BlockList()
    list.addSubnet(net, bits.join('').replaceAll('0', '').length, 'ipv4')
    return list.check(address)
  }
  const context = createContext({ isInNet })
  runInContext(pacFile(of, 1080), context)
  return runInContext(`FindProxyForURL("http://x/", ${JSON.stringify(host)})`, context) as string
}

const PROXY = 'PROXY 127.0.0.1:1080'
for (const host of [
  'web-app',
  'WEB-APP.Shop',
  'web-app.other.svc',
  'pod-0.db.shop.svc.cluster.local',
  'web.shop.svc.cluster.local.',
  'x.corp.example',
  '10.96.0.1',
  '10.111.255.255',
  '10.244.1.9',
  'fd00:96::1',
  '[fd00:96::1]',
])
  test(`the PAC file sends ${host} to the proxy`, () => assert.equal(proxyFor(host), PROXY))

for (const host of [
  'example.com',
  'shop.example.com',
  'notcluster.local.example',
  'localhost',
  'x.localhost',
  '127.0.0.1',
  '10.112.0.1',
  '10.244.2.1',
  '::1',
  '[::1]',
])
  test(`the PAC file lets ${host} go directly`, () => assert.equal(proxyFor(host), 'DIRECT'))

test('without IPv6 subnets, IPv6 goes directly', () => {
  assert.equal(proxyFor('fd00:96::1', { ...zone, subnets: ['10.96.0.0/12'] }), 'DIRECT')
})
