// What the compiler does not hold: folders explain themselves, programs start small, and bundles contain what was agreed.
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { PROGRAMS } from '../../scripts/programs.ts'

const lines = (path: string): number => readFileSync(path, 'utf8').trimEnd().split('\n').length
const folders = globSync('src/*/tsconfig.json').map(dirname)

for (const folder of folders)
  test(`${folder} has a README of at most 20 lines`, () => {
    assert.ok(existsSync(`${folder}/README.md`))
    assert.ok(lines(`${folder}/README.md`) >= 2 && lines(`${folder}/README.md`) <= 20)
  })

for (const { entry, forbidden, name } of PROGRAMS)
  test(`${name} starts in at most 60 lines and its bundle holds nothing forbidden`, () => {
    assert.ok(lines(entry) <= 60)
    const packages = readFileSync(entry.replace('main.ts', 'deps.txt'), 'utf8').split('\n')
    assert.ok(packages.length > 3)
    for (const [forbiddenPackage, why] of Object.entries(forbidden)) assert.ok(!packages.includes(forbiddenPackage), why)
  })

test('committed text names no machine, and no key is committed', () => {
  const files = globSync('{src,scripts,test,bench,images,charts,bin}/**/*.{ts,js,cjs,mjs,yaml,md,sh,json}', {
    exclude: ['**/node_modules/**'],
  })
  assert.ok(files.length > 200)
  for (const path of files) {
    const text = readFileSync(path, 'utf8')
    assert.ok(!/-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}/.test(text), `${path} holds a key`)
    assert.ok(!/\/(?:root|home\/[a-z]+)\/(?!\.\.)/.test(text.replaceAll(/\/proc\/[^\s]*root\//g, '')), `${path} names a home directory`)
  }
})
