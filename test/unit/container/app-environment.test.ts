import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { appEnvironment } from '../../../src/container/app-environment.ts'

test('appEnvironment() hands every ordinary name over by the environment of the client, byte for byte', () => {
  const name = fc.stringMatching(/^APP_[A-Z0-9_]{1,20}$/)
  fc.assert(
    fc.property(fc.dictionary(name, fc.string({ unit: 'grapheme' })), (workload) => {
      const { flags, pipe, skipped, variables } = appEnvironment(workload, [])
      assert.deepEqual({ ...variables }, { ...workload })
      assert.deepEqual(
        flags.filter((_, i) => i % 2 === 1),
        Object.keys(workload),
      )
      assert.ok(!flags.some((word) => word.includes('=')))
      assert.deepEqual([pipe, skipped], ['', []])
    }),
  )
})

test('appEnvironment() keeps names that would change the docker client out of its environment', () => {
  const { flags, pipe, skipped, variables } = appEnvironment({ DOCKER_HOST: 'tcp://x', HTTP_PROXY: 'http://p', LD_PRELOAD: 'a\nb' }, [])
  assert.deepEqual([flags, variables], [[], {}])
  assert.equal(pipe, 'DOCKER_HOST=tcp://x\nHTTP_PROXY=http://p\n')
  assert.deepEqual(skipped, ['LD_PRELOAD'])
})

test('appEnvironment() lets -e of the user win', () => {
  const user = [
    { name: 'env', value: 'A=mine', words: ['-e', 'A=mine'] },
    { name: 'env', value: 'B', words: ['-e', 'B'] },
  ]
  assert.deepEqual(appEnvironment({ A: '1', B: '2', C: '3' }, user).flags, ['-e', 'C'])
})
