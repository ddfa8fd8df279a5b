// One suite for the fake engine and the real one: what unit tests believe of the fake is true of Docker.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { VERSION } from '../../src/base/version.ts'
import type { ContainerEngine } from '../../src/container/container-engine.ts'
import { DockerodeEngine } from '../../src/container/dockerode-engine.ts'
import { MemoryEngine } from '../fakes/memory-engine.ts'

const image = `tpx/tunnel:${VERSION}`
const memory = new MemoryEngine()
memory.images.add(image)

function whyNoDocker(): string | false {
  try {
    execFileSync('docker', ['image', 'inspect', image], { stdio: 'ignore', timeout: 10_000 })
    return false
  } catch {
    return `no Docker engine with the image ${image}`
  }
}
// The images are built only for the suites that need them; CI runs these, and then the real engine must be there.
const skip = whyNoDocker()

const engines: [string, ContainerEngine, string | false][] = [
  ['MemoryEngine', memory, false],
  ['DockerodeEngine', new DockerodeEngine(), skip && process.env['CI'] !== 'true' ? skip : false],
]

for (const [title, engine, reason] of engines)
  describe(title, { skip: reason }, () => {
    const unique = `tpx-contract-${randomBytes(4).toString('hex')}`
    const label = { 'dev.tpx.contract': unique }
    const spec = {
      name: unique,
      Cmd: ['sleep', '60'],
      Entrypoint: [],
      HostConfig: { Init: false, NetworkMode: 'none' },
      Image: image,
      Labels: label,
    }

    test('createContainer() makes a container that listContainers() finds by label', async () => {
      const id = await engine.createContainer(spec)
      const [found] = await engine.listContainers(label)
      assert.deepEqual([found?.id, found?.name, found?.state], [id, unique, 'created'])
      assert.deepEqual(await engine.listContainers({ ...label, other: 'x' }), [])
      assert.equal((await engine.listContainers({ 'dev.tpx.contract': null })).length, 1)
    })

    test('createContainer() throws a conflict when the name is in use', async () => {
      await assert.rejects(engine.createContainer(spec), { statusCode: 409 })
    })

    test('createContainer() throws IMAGE_NOT_FOUND when the image is not there', async () => {
      await assert.rejects(engine.createContainer({ ...spec, name: `${unique}-x`, Image: 'tpx-contract/no-such:1' }), {
        code: 'IMAGE_NOT_FOUND',
      })
    })

    test('startContainer() starts it, also twice; inspect() says so', async () => {
      await engine.startContainer(unique)
      await engine.startContainer(unique)
      assert.equal((await engine.inspect(unique)).State.Running, true)
    })

    test('removeContainer() removes it while it runs, also twice', async () => {
      await engine.removeContainer(unique)
      await engine.removeContainer(unique)
      assert.deepEqual(await engine.listContainers(label), [])
      await assert.rejects(engine.inspect(unique), { statusCode: 404 })
      await engine.stopContainer(unique, 0)
    })

    test('volumes are made, found by label, and removed, also twice', async () => {
      const { mountpoint } = await engine.createVolume(unique, label)
      assert.match(mountpoint, /_data$/)
      assert.deepEqual(
        (await engine.listVolumes(label)).map(({ name }) => name),
        [unique],
      )
      await engine.removeVolume(unique)
      await engine.removeVolume(unique)
      assert.deepEqual(await engine.listVolumes(label), [])
    })

    test('imageId() is what a container of that image says, and undefined where there is none', async () => {
      const id = await engine.createContainer({ Image: image, Labels: label, name: unique })
      try {
        assert.equal((await engine.inspect(id)).Image, await engine.imageId(image))
      } finally {
        await engine.removeContainer(id)
      }
      assert.equal(await engine.imageId('tpx-contract/no-such:1'), undefined)
    })
  })
