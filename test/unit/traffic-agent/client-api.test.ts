import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import * as grpc from '@grpc/grpc-js'
import { Agent } from '../../../src/wire/generated/agent_pb.ts'
import { LookupRequestSchema, SessionInfoSchema } from '../../../src/wire/generated/manager_pb.ts'
import { grpcClient } from '../../../src/wire/grpc.ts'
import { openTpxStream } from '../../../src/wire/preface.ts'
import { OPEN_FLAG, STATUS } from '../../../src/traffic-agent/sftp-packet.ts'
import { openMux } from '../wire/mux-fixture.ts'
import { KEY, startRig } from './agent-rig.ts'
import { SftpClient } from './sftp-client.ts'
import { ask, connect, echoServer, readAll } from './sockets.ts'
import { temporaryDirectory } from './temporary-directory.ts'

test('ClientApi refuses inbound and files with a key that no attachment has', async () => {
  using rig = await startRig({ appPort: 1 })
  for (const verb of ['inbound', 'files'])
    for (const key of ['', 'x', KEY, `${KEY}x`]) {
      const socket = await connect(rig.apiPort)
      await assert.rejects(openTpxStream(socket, verb, key, 'a'.repeat(32), '0', '1000'), { code: 'ATTACHMENT_NOT_FOUND' })
      assert.equal((await readAll(socket)).end, 'fin')
    }
})

test('ClientApi refuses a verb that it does not know', async () => {
  using rig = await startRig({ appPort: 1 })
  const socket = await connect(rig.apiPort)
  await assert.rejects(openTpxStream(socket, 'shell', KEY), { code: 'USAGE' })
  socket.destroy()
})

test('ClientApi closes what begins with neither HTTP/2 nor TPX/1', async () => {
  using rig = await startRig({ appPort: 1 })
  assert.match((await ask(rig.apiPort, 'TRACE / HTTP/1.1\r\n\r\n')).bytes, /^error CARRIER_FAILED /)
  await ask(rig.apiPort, 'GET / HTTP/1.1\r\n\r\n')
  await ask(rig.apiPort, '')
  const socket = await connect(rig.apiPort)
  socket.resetAndDestroy()
})

test('ClientApi serves the files of the attachment’s container, read-only unless asked for rw', async () => {
  using dir = temporaryDirectory({ 'web/key': 'value', 'other/key': 'other' })
  const container = (name: string) => ({
    environmentPrefix: '',
    mounts: [{ path: '/data', readOnly: false, root: join(dir.inside, name) }],
    name: name === 'web' ? 'app' : name,
    ports: [],
  })
  using rig = await startRig({ appPort: 1, containers: [container('other'), container('web')] })
  rig.table.update([rig.attachment()], new Set(), true)
  for (const mode of [[], ['ro'], ['rw']]) {
    const socket = await connect(rig.apiPort)
    await openTpxStream(socket, 'files', KEY, ...mode)
    const files = new SftpClient(socket)
    assert.equal(await files.readFile('/data/key'), 'value')
    const writing = files.open('/data/key', OPEN_FLAG.WRITE)
    if (mode[0] === 'rw') await writing
    else await assert.rejects(writing, { status: STATUS.PERMISSION_DENIED })
    files.end()
  }
})

test('ClientApi ends the files of an attachment that the manager removes', async () => {
  using rig = await startRig({ appPort: 1 })
  rig.table.update([rig.attachment()], new Set(), true)
  const socket = await connect(rig.apiPort)
  await openTpxStream(socket, 'files', KEY)
  const end = readAll(socket)
  rig.table.update([], new Set([KEY]), false)
  await end
})

test('ClientApi answers Version and Lookup over gRPC, and WatchDial and Tunnel with UNIMPLEMENTED', async () => {
  const notFound = Object.assign(new Error('none'), { code: 'ENOTFOUND' })
  using rig = await startRig({
    appPort: 1,
    resolver: {
      resolve4: (async (name: string) => (name === 'web.default.svc.cluster.local' ? ['10.1.2.3'] : Promise.reject(notFound))) as never,
      resolve6: async () => Promise.reject(notFound),
    },
  })
  const client = grpcClient<typeof Agent.method>(Agent, `127.0.0.1:${rig.apiPort}`, grpc.credentials.createInsecure())
  assert.deepEqual(await client.version(create(EmptySchema)).then(({ name }) => name), 'OSS Traffic Agent')
  const { ips } = await client.lookup(create(LookupRequestSchema, { name: 'web.' }))
  assert.deepEqual(
    ips.map((ip) => [...ip]),
    [[10, 1, 2, 3]],
  )
  assert.deepEqual((await client.lookup(create(LookupRequestSchema, { name: 'no.such.' }))).ips, [])
  const errorOf = (stream: Readable): Promise<grpc.ServiceError> =>
    new Promise((resolve) => {
      stream.on('error', resolve)
      stream.on('data', () => {})
    })
  const errors = await Promise.all([errorOf(client.watchDial(create(SessionInfoSchema, { sessionId: 'x' }))), errorOf(client.tunnel())])
  assert.deepEqual(
    errors.map(({ code }) => code),
    [grpc.status.UNIMPLEMENTED, grpc.status.UNIMPLEMENTED],
  )
  client.close()
})

test('ClientApi dials for the owner of an outbound key, and for nobody else', async () => {
  await using server = await echoServer('app')
  using rig = await startRig({ appPort: 1 })
  rig.table.update([rig.attachment({ container: '', containerPort: 0, kind: 'outbound' })], new Set(), true)
  for (const verb of ['inbound', 'files']) {
    const socket = await connect(rig.apiPort)
    await assert.rejects(openTpxStream(socket, verb, KEY, 'a'.repeat(32), '0', '1000'), { code: 'ATTACHMENT_NOT_FOUND' })
    socket.destroy()
  }
  const { mux } = await openMux(await connect(rig.apiPort), 'outbound', KEY)
  const stream = await mux.open(`tcp 127.0.0.1:${server.port}`)
  stream.end('through the agent')
  assert.equal(await text(stream), 'app:through the agent')
  await assert.rejects(mux.open('tcp 127.0.0.1:1'), { code: 'ECONNREFUSED' })
  // The client's session ends: what it had dialed is reset.
  const late = await mux.open(`tcp 127.0.0.1:${server.port}`)
  const closed = new Promise((resolve) => void late.on('error', () => {}).once('close', resolve))
  rig.table.update([], new Set(), true)
  await closed
  mux.destroy()
})

test('ClientApi does not dial for the owner of an attachment', async () => {
  using rig = await startRig({ appPort: 1 })
  rig.table.update([rig.attachment()], new Set(), true)
  await assert.rejects(openMux(await connect(rig.apiPort), 'outbound', KEY), { code: 'ATTACHMENT_NOT_FOUND' })
})
