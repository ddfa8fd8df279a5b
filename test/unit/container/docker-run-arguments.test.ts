import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { parseDockerRunArguments } from '../../../src/container/docker-run-arguments.ts'

test('parseDockerRunArguments() splits flags, image and command', () => {
  const run = parseDockerRunArguments(['-it', '--name', 'x', '-e=A=1', '-p8080:80', '--rm', 'host:5000/img:tag', 'sh', '-c', 'echo -p'])
  assert.equal(run.image, 'host:5000/img:tag')
  assert.deepEqual(run.command, ['sh', '-c', 'echo -p'])
  assert.deepEqual(
    run.app.map(({ words }) => words),
    [['-i'], ['-t'], ['--name', 'x'], ['-e', 'A=1'], ['--rm']],
  )
  assert.deepEqual(
    run.holder.map(({ name, value }) => [name, value]),
    [['publish', '8080:80']],
  )
})

test('parseDockerRunArguments() takes the word after "--" for the image', () => {
  assert.equal(parseDockerRunArguments(['--rm', '--', 'img']).image, 'img')
})

const refused: [string[], string, RegExp][] = [
  [['--ip', '10.0.0.1', 'img'], 'DOCKER_FLAG_UNSUPPORTED', /--ip.*network namespace/],
  [['--dns=1.1.1.1', 'img'], 'DOCKER_FLAG_UNSUPPORTED', /--dns.*DNS server/],
  [['-d', 'img'], 'DOCKER_FLAG_UNSUPPORTED', /-d/],
  [['-P', 'img'], 'DOCKER_FLAG_UNSUPPORTED', /-P/],
  [['--nonsense', 'img'], 'USAGE', /Unknown flag.*--nonsense/],
  [['-it'], 'USAGE', /No image/],
  [['--name'], 'USAGE', /needs a value/],
  [[], 'USAGE', /No image/],
]
for (const [words, code, message] of refused)
  test(`parseDockerRunArguments() throws ${code} for "${words.join(' ')}"`, () => {
    assert.throws(
      () => parseDockerRunArguments(words),
      (error: unknown) => error instanceof TpxError && error.code === code && message.test(error.message),
    )
  })
