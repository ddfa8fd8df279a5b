import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { MAX_HANDLES } from '../../../src/traffic-agent/sftp-handles.ts'
import { OPEN_FLAG, PACKET, STATUS, text, u32, u64 } from '../../../src/traffic-agent/sftp-packet.ts'
import { check, field, openFiles } from './sftp-client.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const { CREAT, EXCL, READ, TRUNC, WRITE } = OPEN_FLAG
const noAttributes = u32(0)

test('SftpSession serves a ConfigMap volume: the kubelet’s links, listings and attributes', async () => {
  using dir = temporaryDirectory({ '..2026/key': 'value', '..data': { link: '..2026' }, key: { link: '..data/key' } })
  await using files = openFiles([{ path: '/etc/web', readOnly: true, root: dir.inside }])
  assert.equal(await files.readFile('/etc/web/key'), 'value')
  assert.equal(await files.readLink('/etc/web/key'), '..data/key')
  assert.deepEqual([...(await files.list('/etc/web')).keys()].toSorted(), ['.', '..', '..2026', '..data', 'key'])
  assert.equal((await files.stat('/etc/web/key')).size, 5)
  assert.equal((await files.stat('/etc/web/key', PACKET.LSTAT)).mode & 0o170000, 0o120000)
  await assert.rejects(files.readFile('/etc/web/missing'), { status: STATUS.NO_SUCH_FILE })
})

test('SftpSession lists only the next components above the mounts', async () => {
  using dir = temporaryDirectory({ 'one/x': 'x', 'two/key': 'file' })
  await using files = openFiles([
    { path: '/etc/web', readOnly: true, root: join(dir.inside, 'one') },
    { path: '/etc/app/key', readOnly: true, root: join(dir.inside, 'two/key') },
  ])
  assert.deepEqual([...(await files.list('/')).keys()], ['.', '..', 'etc'])
  assert.deepEqual([...(await files.list('/etc')).keys()], ['.', '..', 'web', 'app'])
  assert.equal((await files.list('/etc/app')).get('key')?.size, 4)
  assert.equal((await files.stat('/etc')).mode, 0o40555)
  assert.equal(await files.readFile('/etc/app/key'), 'file')
})

test('SftpSession returns absolute links as they are and never reads what they name in the Pod of the agent', async () => {
  using dir = temporaryDirectory()
  fs.symlinkSync(join(dir.outside, 'secret'), join(dir.inside, 'absolute'))
  fs.symlinkSync('../outside/secret', join(dir.inside, 'relative'))
  fs.symlinkSync(dir.outside, join(dir.inside, 'directory'))
  await using files = openFiles([{ path: '/data', readOnly: false, root: dir.inside }], false)
  assert.equal(await files.readLink('/data/absolute'), join(dir.outside, 'secret'))
  for (const path of ['/data/absolute', '/data/relative', '/data/directory/secret', '/data/../outside/secret']) {
    await assert.rejects(files.readFile(path), { status: STATUS.NO_SUCH_FILE })
    await assert.rejects(files.open(path, WRITE | CREAT), { message: /ENOENT|ELOOP/ })
  }
  await assert.rejects(files.run(PACKET.SETSTAT, text('/data/absolute'), u32(4), u32(0o777)), { status: STATUS.NO_SUCH_FILE })
  assert.equal(fs.readFileSync(join(dir.outside, 'secret'), 'utf8'), 'SECRET')
})

for (const [why, mountReadOnly, sessionReadOnly] of [
  ['the mount is read-only', true, false],
  ['the session is read-only', false, true],
] as const)
  test(`SftpSession changes nothing when ${why}`, async () => {
    using dir = temporaryDirectory({ file: 'old', 'directory/x': 'x', empty: null })
    await using files = openFiles([{ path: '/data', readOnly: mountReadOnly, root: dir.inside }], sessionReadOnly)
    const before = execFileSync('ls', ['-laR', '--time-style=full-iso', dir.inside])
    const refused = { status: STATUS.PERMISSION_DENIED }
    const at = (name: string): Buffer => text(`/data/${name}`)
    for (const flags of [WRITE, READ | WRITE, WRITE | CREAT, WRITE | TRUNC, READ | TRUNC, READ | CREAT, OPEN_FLAG.APPEND])
      await assert.rejects(files.open('/data/file', flags), refused)
    for (const flags of [WRITE | CREAT, WRITE | CREAT | EXCL, READ | CREAT]) await assert.rejects(files.open('/data/new', flags), refused)
    const handle = await files.open('/data/file')
    await assert.rejects(files.write(handle, 'new'), refused)
    await assert.rejects(files.run(PACKET.FSETSTAT, field(handle), u32(1), u64(0)), refused)
    await assert.rejects(files.run(PACKET.SETSTAT, at('file'), u32(4), u32(0o600)), refused)
    await assert.rejects(files.run(PACKET.REMOVE, at('file')), refused)
    await assert.rejects(files.run(PACKET.RMDIR, at('empty')), refused)
    await assert.rejects(files.run(PACKET.MKDIR, at('new'), noAttributes), refused)
    await assert.rejects(files.run(PACKET.RENAME, at('file'), at('new')), refused)
    await assert.rejects(files.run(PACKET.EXTENDED, text('posix-rename@openssh.com'), at('file'), at('new')), refused)
    await assert.rejects(files.run(PACKET.SYMLINK, text('/x'), at('new')), refused)
    assert.deepEqual(execFileSync('ls', ['-laR', '--time-style=full-iso', dir.inside]), before)
  })

test('SftpSession writes, renames and removes in a read-write session of a read-write mount', async () => {
  using dir = temporaryDirectory({ victim: 'victim' })
  await using files = openFiles([{ path: '/data', readOnly: false, root: dir.inside }], false)
  const handle = await files.open('/data/new', READ | WRITE | CREAT | EXCL)
  await files.write(handle, 'hello')
  await files.write(handle, 'J')
  await files.run(PACKET.EXTENDED, text('fsync@openssh.com'), field(handle))
  assert.equal((await files.read(handle)).toString(), 'Jello')
  await files.close(handle)
  await assert.rejects(files.run(PACKET.RENAME, text('/data/new'), text('/data/victim')), { message: 'EEXIST' })
  await files.run(PACKET.EXTENDED, text('posix-rename@openssh.com'), text('/data/new'), text('/data/victim'))
  await files.run(PACKET.MKDIR, text('/data/directory'), noAttributes)
  await files.run(PACKET.RENAME, text('/data/victim'), text('/data/directory/moved'))
  await files.run(PACKET.SETSTAT, text('/data/directory/moved'), u32(1 | 4 | 8), u64(2), u32(0o106600), u32(1), u32(2))
  const stats = fs.statSync(join(dir.inside, 'directory/moved'))
  assert.deepEqual([stats.size, stats.mode, stats.mtimeMs], [2, 0o100600, 2000])
  await files.run(PACKET.SYMLINK, text('moved'), text('/data/directory/link'))
  assert.equal(fs.readlinkSync(join(dir.inside, 'directory/link')), 'moved')
  for (const name of ['link', 'moved']) await files.run(PACKET.REMOVE, text(`/data/directory/${name}`))
  await files.run(PACKET.RMDIR, text('/data/directory'))
  assert.deepEqual(fs.readdirSync(dir.inside), [])
})

test('SftpSession never opens pipes, sockets or devices', async () => {
  using dir = temporaryDirectory()
  execFileSync('mkfifo', [join(dir.inside, 'pipe')])
  await using files = openFiles(
    [
      { path: '/data', readOnly: false, root: dir.inside },
      { path: '/dev', readOnly: false, root: '/dev' },
    ],
    false,
  )
  for (const path of ['/data/pipe', '/dev/null']) {
    await assert.rejects(files.open(path), { message: 'EACCES' })
    await assert.rejects(files.open(path, WRITE | CREAT), { message: 'EACCES' })
    await assert.rejects(files.run(PACKET.SETSTAT, text(path), u32(4), u32(0o666)), { message: 'EACCES' })
  }
})

test('SftpSession keeps names that are not UTF-8', async () => {
  using dir = temporaryDirectory()
  const name = Buffer.from([0x61, 0xff, 0xe9])
  fs.writeFileSync(Buffer.concat([Buffer.from(`${dir.inside}/`), name]), 'bytes')
  await using files = openFiles([{ path: '/data', readOnly: true, root: dir.inside }])
  assert.ok((await files.list('/data')).has(name.toString('latin1')))
  assert.equal(await files.readFile(`/data/${name.toString('latin1')}`), 'bytes')
})

test(`SftpSession refuses more than ${MAX_HANDLES} handles and goes on when some are closed`, async () => {
  using dir = temporaryDirectory({ file: 'x' })
  await using files = openFiles([{ path: '/data', readOnly: true, root: dir.inside }])
  const handles = await Promise.all(Array.from({ length: MAX_HANDLES }, () => files.open('/data/file')))
  await assert.rejects(files.open('/data/file'), { message: 'EMFILE' })
  await files.close(handles[0] ?? Buffer.alloc(0))
  await files.close(await files.open('/data/file'))
})

test('SftpSession answers REALPATH lexically, statvfs, and unknown requests with OP_UNSUPPORTED', async () => {
  using dir = temporaryDirectory()
  await using files = openFiles([{ path: '/data', readOnly: true, root: dir.inside }])
  const name = check(await files.ask(PACKET.REALPATH, text('.')))
  assert.deepEqual([name.u32(), name.text()], [1, '/'])
  for (const path of ['/data', '/']) {
    const numbers = check(await files.ask(PACKET.EXTENDED, text('statvfs@openssh.com'), text(path)))
    const all = Array.from({ length: 11 }, () => numbers.u64())
    assert.deepEqual(all.slice(9), [3, 255])
  }
  await assert.rejects(files.run(PACKET.EXTENDED, text('hardlink@openssh.com'), text('/a'), text('/b')), { status: STATUS.OP_UNSUPPORTED })
  await assert.rejects(files.run(99), { status: STATUS.OP_UNSUPPORTED })
  await assert.rejects(files.run(PACKET.STAT), { status: STATUS.BAD_MESSAGE })
})

test('SftpSession lists a directory of 1,000 files once each', async () => {
  using dir = temporaryDirectory(Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`file-${n}`, 'x'])))
  await using files = openFiles([{ path: '/data', readOnly: true, root: dir.inside }])
  assert.equal((await files.list('/data')).size, 1002)
})
