import { TpxError } from '../base/error.ts'
import { DOCKER_RUN_FLAGS, LONG_NAME } from './docker-run-flags.ts'

/** One flag as it was written: `words` are its words on the command line, for handing on. */
export type WrittenFlag = { name: string; value: string; words: string[] }

/** The words after `docker run`, taken apart. */
export type DockerRunArguments = {
  app: WrittenFlag[]
  command: string[]
  holder: WrittenFlag[]
  image: string
}

const USAGE_HINT = 'Usage: tpx docker-run --intercept WORKLOAD [tpx flags] -- [docker run flags] IMAGE [COMMAND…]'

function ruleOf(name: string, written: string): (typeof DOCKER_RUN_FLAGS)[string] {
  const flag = DOCKER_RUN_FLAGS[name]
  if (!flag)
    throw new TpxError('USAGE', `Unknown flag of docker run: "${written}"`, {
      hint: 'Flags of tpx stand before "--", flags of docker run behind it',
    })
  if (flag.rule.on === 'refuse')
    throw new TpxError('DOCKER_FLAG_UNSUPPORTED', `"${written}" cannot be used: ${flag.rule.reason}`, { hint: flag.rule.hint })
  return flag
}

/** `--name=value`, `--name value`, `--name`. */
function readLong(word: string, next: string | undefined): { flag: WrittenFlag; used: number } {
  const [, name = '', given] = /^--([^=]+)(?:=(.*))?$/s.exec(word) ?? []
  const { value } = ruleOf(name, `--${name}`)
  if (!value || given !== undefined) return { flag: { name, value: given ?? 'true', words: [word] }, used: 1 }
  if (next === undefined) throw new TpxError('USAGE', `Flag needs a value: "--${name}"`, { hint: USAGE_HINT })
  return { flag: { name, value: next, words: [word, next] }, used: 2 }
}

/** `-it`, `-p 80:80`, `-p80:80`, `-e=K=V`: letters without value may be joined, the first with a value takes the rest. */
function readShort(word: string, next: string | undefined): { flags: WrittenFlag[]; used: number } {
  const flags: WrittenFlag[] = []
  for (let i = 1; i < word.length; i++) {
    const letter = word[i] ?? ''
    const name = LONG_NAME[letter] ?? letter
    const { value } = ruleOf(name, `-${letter}`)
    if (!value) {
      flags.push({ name, value: 'true', words: [`-${letter}`] })
      continue
    }
    const rest = word.slice(i + 1).replace(/^=/, '')
    if (rest) return { flags: [...flags, { name, value: rest, words: [`-${letter}`, rest] }], used: 1 }
    if (next === undefined) throw new TpxError('USAGE', `Flag needs a value: "-${letter}"`, { hint: USAGE_HINT })
    return { flags: [...flags, { name, value: next, words: [`-${letter}`, next] }], used: 2 }
  }
  return { flags, used: 1 }
}

/**
 * Takes the words behind `--` of `tpx docker-run` apart, by the grammar of `docker run [OPTIONS] IMAGE [COMMAND] [ARG...]`.
 * @throws TpxError USAGE for unknown flags or a missing image; DOCKER_FLAG_UNSUPPORTED for flags that cannot work
 */
export function parseDockerRunArguments(words: string[]): DockerRunArguments {
  const flags: WrittenFlag[] = []
  let at = 0
  for (let word = words[at]; word?.startsWith('-') && word !== '-'; word = words[at]) {
    if (word === '--') {
      at++
      break
    }
    const next = words[at + 1]
    if (word.startsWith('--')) {
      const { flag, used } = readLong(word, next)
      flags.push(flag)
      at += used
    } else {
      const read = readShort(word, next)
      flags.push(...read.flags)
      at += read.used
    }
  }

  const image = words[at]
  if (!image) throw new TpxError('USAGE', 'No image given', { hint: USAGE_HINT })
  const on = (place: 'app' | 'holder') => flags.filter(({ name }) => DOCKER_RUN_FLAGS[name]?.rule.on === place)
  return { app: on('app'), command: words.slice(at + 1), holder: on('holder'), image }
}
