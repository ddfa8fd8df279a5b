import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { inClusterConfig } from '../../../src/traffic-manager/in-cluster-config.ts'

describe('inClusterConfig()', () => {
  it("gives requests the Pod's token and CA, and the server's address in brackets where it is IPv6", async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tpx-'))
    writeFileSync(join(directory, 'token'), 'secret\n')
    writeFileSync(join(directory, 'ca.crt'), 'PEM')
    const config = inClusterConfig({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' }, directory)
    const options: https.RequestOptions = { headers: { Accept: 'application/json' } }
    await config.applyToHTTPSOptions(options)
    rmSync(directory, { recursive: true })
    assert.deepEqual(options, { ca: 'PEM', headers: { Accept: 'application/json', Authorization: 'Bearer secret' } })
    assert.equal(config.getCurrentCluster()?.server, 'https://[fd00::1]:6443')
  })

  it('says so outside of a Pod', () => {
    assert.throws(() => inClusterConfig({}), { code: 'KUBECONFIG_INVALID' })
  })
})
