import assert from 'node:assert/strict'
import { test } from 'node:test'
import { curlWords } from '../../../src/session/curl.ts'

test('curlWords() puts the proxy before the words of the user, but -q stays first', () => {
  const proxy = ['--proxy', 'socks5h://p', '--noproxy', '']
  assert.deepEqual(curlWords(['-sf', 'http://web/'], 'socks5h://p'), [...proxy, '-sf', 'http://web/'])
  assert.deepEqual(curlWords(['-q', 'http://web/'], 'socks5h://p'), ['-q', ...proxy, 'http://web/'])
})
