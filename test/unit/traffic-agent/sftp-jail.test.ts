import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { SftpJail } from '../../../src/traffic-agent/sftp-jail.ts'
import { systemCode } from '../../../src/base/error.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const openDescriptors = (): number => fs.readdirSync('/proc/self/fd').length

async function inodeOf(jail: SftpJail, path: string): Promise<number | string> {
  try {
    using found = await jail.find(path, true)
    return found.stats?.ino ?? 'synthetic'
  } catch (error) {
    return systemCode(error) ?? String(error)
  }
}

test('SftpJail.find() follows links as the app container would: relative, absolute, through other mounts', async () => {
  using dir = temporaryDirectory({
    'web/..2026/index': 'one',
    'web/..data': { link: '..2026' },
    'web/index': { link: '..data/index' },
    'web/absolute': { link: '/etc/web/index' },
    'web/other': { link: '../../data/file' },
    'data/file': 'two',
  })
  const jail = new SftpJail([
    { path: '/etc/web', readOnly: true, root: join(dir.inside, 'web') },
    { path: '/data', readOnly: false, root: join(dir.inside, 'data') },
  ])
  const one = fs.statSync(join(dir.inside, 'web/..2026/index')).ino
  const two = fs.statSync(join(dir.inside, 'data/file')).ino
  assert.equal(await inodeOf(jail, '/etc/web/index'), one)
  assert.equal(await inodeOf(jail, '/etc/web/absolute'), one)
  assert.equal(await inodeOf(jail, '/etc/web/other'), two)
  assert.equal(await inodeOf(jail, '/etc/web/../../data/./file'), two)
  assert.equal(await inodeOf(jail, '/'), 'synthetic')
  assert.equal(await inodeOf(jail, '/etc'), 'synthetic')
  assert.equal(await inodeOf(jail, '/../../etc/..'), 'synthetic')
  assert.equal(await inodeOf(jail, '/etc/passwd'), 'ENOENT')
  jail.close()
})

test('SftpJail.find() throws ELOOP for links in a circle, ENOTDIR below a file, EINVAL for a NUL', async () => {
  using dir = temporaryDirectory({ one: { link: 'two' }, two: { link: 'one' }, file: 'x' })
  const jail = new SftpJail([{ path: '/data', readOnly: true, root: dir.inside }])
  assert.equal(await inodeOf(jail, '/data/one'), 'ELOOP')
  assert.equal(await inodeOf(jail, '/data/one/below'), 'ELOOP')
  assert.equal(await inodeOf(jail, '/data/file/below'), 'ENOTDIR')
  assert.equal(await inodeOf(jail, '/data/file\0'), 'EINVAL')
  assert.equal(await inodeOf(jail, `/data/${'a/'.repeat(3000)}`), 'ENAMETOOLONG')
  jail.close()
})

test('SftpJail.find() sees nested mounts and mounts that are single files', async () => {
  using dir = temporaryDirectory({ 'outer/inner/hidden': 'x', 'outer/own': 'x', 'inner/shown': 'x', 'single/key': 'x' })
  const jail = new SftpJail([
    { path: '/data', readOnly: true, root: join(dir.inside, 'outer') },
    { path: '/data/inner', readOnly: true, root: join(dir.inside, 'inner') },
    { path: '/etc/app/key', readOnly: true, root: join(dir.inside, 'single/key') },
  ])
  const ino = (path: string): number => fs.statSync(join(dir.inside, path)).ino
  assert.equal(await inodeOf(jail, '/data/own'), ino('outer/own'))
  assert.equal(await inodeOf(jail, '/data/inner/shown'), ino('inner/shown'))
  assert.equal(await inodeOf(jail, '/data/inner/hidden'), 'ENOENT')
  assert.equal(await inodeOf(jail, '/etc/app/key'), ino('single/key'))
  assert.equal(await inodeOf(jail, '/etc/app/key/x'), 'ENOTDIR')
  jail.close()
})

test('SftpJail.place() refuses mounts, what is above them, and the root', async () => {
  using dir = temporaryDirectory({ file: 'x' })
  const jail = new SftpJail([{ path: '/etc/web', readOnly: false, root: dir.inside }])
  for (const path of ['/', '/etc', '/etc/web', '/etc/web/', '/etc/web/x/..', '/etc/web/.'])
    await assert.rejects(jail.place(path), (error) => ['EBUSY', 'ENOENT'].includes(systemCode(error) ?? ''))
  await assert.rejects(jail.place('/etc/other'), { code: 'ENOENT' })
  jail.close()
})

// A farm of files, directories and links with targets of all kinds, and paths through it.
const names = ['a', 'b', 'c']
const part = fc.constantFrom(...names, '..', '.', '', 'missing')
const target = (top: string): fc.Arbitrary<string> =>
  fc.oneof(
    fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/') || '.'),
    fc.array(part, { maxLength: 4 }).map((parts) => join(top, 'inside', ...parts)),
    fc.constantFrom('/', '/etc/passwd', '/proc/self/root', `${top}/outside/secret`, `${top}/outside`, '../outside/secret', '../../..'),
  )
const farm = (top: string) =>
  fc.array(
    fc.record({
      at: fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }),
      what: fc.oneof(
        fc.constant('file' as const),
        fc.constant('directory' as const),
        target(top).map((link) => ({ link })),
      ),
    }),
    { maxLength: 12 },
  )

test('SftpJail.find() finds exactly what the kernel finds, or nothing where that lies outside', async () => {
  const before = openDescriptors()
  using dir = temporaryDirectory()
  const top = join(dir.inside, '..')
  await fc.assert(
    fc.asyncProperty(farm(top), fc.array(fc.array(part, { maxLength: 6 }), { minLength: 1, maxLength: 8 }), async (plants, paths) => {
      fs.rmSync(dir.inside, { recursive: true })
      fs.mkdirSync(dir.inside)
      for (const { at, what } of plants) {
        try {
          const path = join(dir.inside, ...at)
          if (what === 'file') fs.writeFileSync(path, 'inside', { flag: 'wx' })
          else if (what === 'directory') fs.mkdirSync(path)
          else fs.symlinkSync(what.link, path)
        } catch {
          // A plant that has no place is left out.
        }
      }

      // The client sees the directory at its real path, so the kernel is the judge.
      const jail = new SftpJail([{ path: dir.inside, readOnly: true, root: dir.inside }])
      for (const parts of paths) {
        const path = `${dir.inside}/${parts.join('/')}`
        const found = await inodeOf(jail, path)
        const real = kernelPath(path)
        const isInside = real !== undefined && (real === dir.inside || real.startsWith(`${dir.inside}/`))
        if (isInside && staysInside(path, dir.inside)) assert.equal(found, fs.statSync(real).ino, path)
        else if (!isInside) assert.equal(typeof found, 'string', path)
      }
      jail.close()
    }),
    { numRuns: 300 },
  )
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(openDescriptors() <= before + 1, 'no descriptor is left open')
})

function kernelPath(path: string): string | undefined {
  try {
    return fs.realpathSync.native(path)
  } catch {
    return undefined
  }
}

/** A path that leaves and comes back by a directory that exists only outside is refused by the jail and allowed by the kernel. */
function staysInside(path: string, inside: string): boolean {
  let at = inside
  for (const name of path.slice(inside.length).split('/')) {
    const next = kernelPath(join(at, name === '' ? '.' : '', name))
    if (next === undefined || !`${next}/`.startsWith(`${inside}/`)) return false
    at = next
  }
  return true
}
