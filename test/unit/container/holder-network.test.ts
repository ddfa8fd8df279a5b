import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDockerRunArguments } from '../../../src/container/docker-run-arguments.ts'
import { holderSpec } from '../../../src/container/holder-container.ts'
import { holderNetwork, userNetwork } from '../../../src/container/holder-network.ts'

const networkOf = (words: string[], own?: string) => holderNetwork(parseDockerRunArguments([...words, 'img']).holder, own)

test('holderNetwork() moves a user-defined network and its aliases to the holder', () => {
  assert.deepEqual(networkOf(['--network', 'team', '--network-alias', 'web', '--net-alias=api']), {
    aliases: ['web', 'api'],
    network: 'team',
  })
  assert.deepEqual(networkOf(['--network', 'bridge']), {})
  assert.deepEqual(networkOf([], 'team'), { network: 'team' })
})

test('holderNetwork() refuses what is no network of the holder, two of them, and an alias without one', () => {
  for (const name of ['host', 'none', 'container:db']) assert.throws(() => userNetwork(name), { code: 'DOCKER_FLAG_UNSUPPORTED' })
  for (const words of [
    ['--network', 'a', '--network', 'b'],
    ['--network-alias', 'web'],
    ['--network', 'name=a,alias=b'],
  ])
    assert.throws(() => networkOf(words), { code: 'USAGE' }, words.join(' '))
})

test("holderSpec() gives the holder a Pod's search list, and the network with its aliases", () => {
  const settings = {
    carrier: 'unix',
    context: 'c',
    impersonate: {},
    kubeconfig: 'k',
    linkLogLevel: 'info',
    managerNamespace: 'm',
    name: 'n',
    namespace: 'shop',
  } as const
  const spec = holderSpec(settings, { clusterDomain: 'corp.example', image: 'tunnel', network: { aliases: ['web'], network: 'team' } })
  assert.deepEqual(spec.HostConfig?.DnsSearch, ['shop.svc.corp.example', 'svc.corp.example', 'corp.example'])
  assert.deepEqual([spec.HostConfig?.DnsOptions, spec.HostConfig?.NetworkMode], [['ndots:5'], 'team'])
  assert.deepEqual(spec.NetworkingConfig, { EndpointsConfig: { team: { Aliases: ['web'] } } })
})
