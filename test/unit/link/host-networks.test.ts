import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiAddresses } from '../../../src/link/host-facts.ts'
import { engineIsHere, hostNetworks, parseNetstat, parseNetworks, selectNetworks } from '../../../src/link/host-networks.ts'

test('selectNetworks() keeps what a cluster may get in the way of, VPNs included', () => {
  const all = [
    ['0.0.0.0/0', 'eth0'],
    ['0.0.0.0/1', 'tun0'],
    ['192.168.1.0/24', 'eth0'],
    ['10.0.0.0/8', 'tun0'],
    ['10.0.0.0/8', 'tun1'],
    ['172.17.0.0/16', 'docker0'],
    ['172.18.0.0/16', 'br-0123456789ab'],
    ['10.42.0.0/24', 'cni0'],
    ['10.42.1.0/24', 'flannel.1'],
    ['169.254.0.0/16', 'eth0'],
    ['fe80::/64', 'eth0'],
    ['fd12::/48', 'wg0'],
  ].map(([cidr = '', name = '']) => ({ cidr, name }))
  assert.deepEqual(selectNetworks(all), [
    { cidr: '192.168.1.0/24', name: 'eth0 of the host' },
    { cidr: '10.0.0.0/8', name: 'tun1 of the host' },
    { cidr: 'fd12::/48', name: 'wg0 of the host' },
  ])
})

test('parseNetworks() reads TPX_HOST_NETWORKS', async () => {
  const expected = [
    { cidr: '10.0.0.0/8', name: 'utun3' },
    { cidr: '192.168.0.0/16', name: 'TPX_HOST_NETWORKS' },
  ]
  assert.deepEqual(parseNetworks('10.1.2.3/8=utun3, 192.168.0.0/16,nonsense'), expected)
  assert.deepEqual(await hostNetworks('10.1.2.3/8=utun3,192.168.0.0/16'), expected)
  assert.deepEqual(parseNetworks(''), [])
})

test('hostNetworks() of this machine are CIDRs with names', async () => {
  for (const { cidr, name } of await hostNetworks(undefined)) assert.match(`${cidr} ${name}`, /^[\da-f.:]+\/\d+ \S+ of the host$/)
})

test('engineIsHere() is false for an engine on another machine', () => {
  assert.deepEqual(
    [undefined, '', 'unix:///run/docker.sock', 'tcp://127.0.0.1:2375', 'tcp://build-host:2376', 'ssh://me@build-host'].map(engineIsHere),
    [true, true, true, true, false, false],
  )
})

test('apiAddresses() resolves the server, without loopback', async () => {
  assert.deepEqual(await apiAddresses('https://203.0.113.7:6443'), ['203.0.113.7'])
  assert.deepEqual(await apiAddresses('https://[fd00::7]:6443'), ['fd00::7'])
  assert.deepEqual(await apiAddresses('https://127.0.0.1:6443'), [])
  assert.deepEqual(await apiAddresses('https://localhost:6443'), [])
  assert.deepEqual(await apiAddresses('https://no-such-host.invalid'), [])
  assert.deepEqual(await apiAddresses('nonsense'), [])
})

test('parseNetstat() reads the short destinations of macOS, VPNs included', () => {
  const table = `Routing tables

Internet:
Destination        Gateway            Flags               Netif Expire
default            192.168.1.1        UGScg                 en0
10                 utun4              USc                 utun4
10.20.30/24        utun4              USc                 utun4
127                127.0.0.1          UCS                   lo0
127.0.0.1          127.0.0.1          UH                    lo0
172.16/12          10.8.0.1           UGSc                utun4
192.168.1          link#11            UCS                   en0      !
192.168.1.1/32     link#11            UCS                   en0      !
192.168.1.7        a4:83:e7:1:2:3     UHLWI                 en0   1180
224.0.0/4          link#11            UmCS                  en0      !
`
  assert.deepEqual(selectNetworks(parseNetstat(table)), [
    { cidr: '10.0.0.0/8', name: 'utun4 of the host' },
    { cidr: '10.20.30.0/24', name: 'utun4 of the host' },
    { cidr: '172.16.0.0/12', name: 'utun4 of the host' },
    { cidr: '192.168.1.0/24', name: 'en0 of the host' },
  ])
})
