import assert from 'node:assert/strict'
import { test } from 'node:test'
import { proxyFor } from '../../../src/kube/proxy-variables.ts'

const cases: [server: string, env: NodeJS.ProcessEnv, proxy: string | undefined][] = [
  ['https://api.example.com:6443', {}, undefined],
  ['https://api.example.com:6443', { HTTPS_PROXY: 'http://p:1' }, 'http://p:1'],
  ['https://api.example.com:6443', { https_proxy: 'socks5://p:1' }, 'socks5://p:1'],
  ['http://api.example.com', { HTTPS_PROXY: 'http://p:1' }, undefined],
  ['https://127.0.0.1:6443', { HTTPS_PROXY: 'http://p:1' }, undefined],
  ['https://localhost:6443', { HTTPS_PROXY: 'http://p:1' }, undefined],
  ['https://[::1]:6443', { HTTPS_PROXY: 'http://p:1' }, undefined],
  ['https://api.example.com', { HTTPS_PROXY: 'p:1', NO_PROXY: 'example.com' }, undefined],
  ['https://api.example.com', { HTTPS_PROXY: 'p:1', NO_PROXY: 'other.org, *.example.com' }, undefined],
  ['https://badexample.com', { HTTPS_PROXY: 'p:1', NO_PROXY: 'example.com' }, 'http://p:1'],
  ['https://10.1.2.3:6443', { HTTPS_PROXY: 'p:1', NO_PROXY: '10.0.0.0/8' }, undefined],
  ['https://11.1.2.3:6443', { HTTPS_PROXY: 'p:1', NO_PROXY: '10.0.0.0/8' }, 'http://p:1'],
  ['https://api.example.com', { HTTPS_PROXY: 'p:1', NO_PROXY: '*' }, undefined],
]

for (const [server, env, proxy] of cases)
  test(`proxyFor() gives ${proxy ?? 'none'} for ${server} with ${JSON.stringify(env)}`, () => {
    assert.equal(proxyFor(new URL(server), env), proxy)
  })
