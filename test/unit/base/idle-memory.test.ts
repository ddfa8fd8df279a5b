import assert from 'node:assert/strict'
import { it } from 'node:test'
import { IdleMemory } from '../../../src/base/idle-memory.ts'

function start() {
  const now = { cpu: 0, resident: 80 << 20 }
  const done: string[] = []
  const memory = new IdleMemory({
    collect: () => done.push('collect'),
    cpuMicroseconds: () => now.cpu,
    residentBytes: () => now.resident,
    trim: async () => {
      done.push('trim')
      now.resident = 100 << 20
    },
  })
  return { done, memory, now }
}

it('IdleMemory gives back what bulk data left, once it is quiet', async () => {
  const { done, memory, now } = start()
  now.resident = 300 << 20
  now.cpu += 4_000_000
  assert.equal(await memory.look(5000), false, 'busy')
  now.cpu += 100_000
  assert.equal(await memory.look(5000), true)
  assert.deepEqual(done, ['collect', 'trim'])
})

it('IdleMemory leaves a little alone, measured from what it could not give back', async () => {
  const { done, memory, now } = start()
  now.resident = 120 << 20
  assert.equal(await memory.look(5000), false)
  now.resident = 200 << 20
  assert.equal(await memory.look(5000), true)
  now.resident = 140 << 20
  assert.equal(await memory.look(5000), false)
  assert.equal(done.length, 2)
})
