// The files that a client may see: the app container's mounts at their own paths, and above them directories that only lead
// there. A path is walked component by component below a descriptor, without ever letting the kernel follow a link or `..`;
// links are followed here, inside the jail, with the meaning they have in the app container. So nothing outside is reachable,
// however the files change meanwhile.
import fs from 'node:fs'
import type { AgentMount } from '../wire/agent-config.ts'
import { systemCode } from '../base/error.ts'
import { closeDescriptor, entryPath, O_PATH, openFile, statDescriptor } from './descriptor.ts'
import { FileError } from './file-error.ts'

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants

/** As Linux: path_resolution(7), ELOOP. */
const MAX_LINKS = 40
/** As Linux: PATH_MAX. */
const MAX_PATH_BYTES = 4096

/** A mount with the descriptor of its root, opened at first use. */
export type JailMount = { fd: number | undefined; readOnly: boolean; root: string }
/** A directory on the way to mounts, or a mount's root. Names are bytes as latin1. */
export type JailNode = { children: Map<string, JailNode>; mount: JailMount | undefined }

type Step = { fd: number | undefined; mount: JailMount | undefined; node: JailNode | undefined; owned: boolean; stats?: fs.Stats }
type Walk = { links: number; pending: string[]; steps: Step[] }

/** Something found; dispose it to close its descriptors. Without `fd` it is a directory that only leads to mounts. */
export type Found = Disposable & {
  fd: number | undefined
  mount: JailMount | undefined
  node: JailNode | undefined
  stats: fs.Stats | undefined
}
/** The directory of an entry that exists or not, and the entry's name in it. */
export type Place = Disposable & { fd: number; mount: JailMount; name: string }

/** Resolves paths of one session. */
export class SftpJail {
  readonly #root: JailNode = { children: new Map(), mount: undefined }
  readonly #mounts: JailMount[] = []

  constructor(mounts: readonly AgentMount[]) {
    for (const { path, readOnly, root } of mounts) {
      let node = this.#root
      for (const name of components(Buffer.from(path.replace(/\/+$/, '')).toString('latin1'))) {
        const next = node.children.get(name) ?? { children: new Map(), mount: undefined }
        node.children.set(name, next)
        node = next
      }
      node.mount = { fd: undefined, readOnly, root }
      this.#mounts.push(node.mount)
    }
  }

  /**
   * Finds an object and holds it by descriptor.
   * @param path bytes as latin1, from the client's point of view
   * @param follow whether a link as the last component is followed
   * @throws FileError or a system error
   */
  async find(path: string, follow: boolean): Promise<Found> {
    const walk: Walk = { links: 0, pending: components(path).toReversed(), steps: [await this.#start()] }
    try {
      await this.#run(walk, follow)
      const { fd, mount, node, stats } = top(walk)
      return {
        fd,
        mount,
        node,
        stats: stats ?? (fd === undefined ? undefined : await statDescriptor(fd)),
        [Symbol.dispose]: () => release(walk),
      }
    } catch (error) {
      release(walk)
      throw error
    }
  }

  /**
   * Finds the directory of an entry, following links on the way but not the entry itself.
   * @throws FileError EBUSY for mounts and the directories above them
   */
  async place(path: string): Promise<Place> {
    const pending = components(path.replace(/\/+$/, '')).toReversed()
    const name = pending.shift()
    if (name === undefined) throw new FileError('EBUSY')
    const walk: Walk = { links: 0, pending, steps: [await this.#start()] }
    try {
      await this.#run(walk, true)
      const { fd, mount, node } = top(walk)
      if (name === '.' || name === '..' || node?.children.has(name)) throw new FileError('EBUSY')
      if (fd === undefined || !mount) throw new FileError('ENOENT')
      return { fd, mount, name, [Symbol.dispose]: () => release(walk) }
    } catch (error) {
      release(walk)
      throw error
    }
  }

  /** What a listing shows for a child of a node: a mount's own attributes; undefined for a directory that only leads there. */
  async statNode({ mount }: JailNode): Promise<fs.Stats | undefined> {
    return mount && statDescriptor(await rootOf(mount))
  }

  /** Closes the mounts' roots. */
  close(): void {
    for (const mount of this.#mounts) {
      if (mount.fd !== undefined) closeDescriptor(mount.fd)
      mount.fd = undefined
    }
  }

  async #start(): Promise<Step> {
    const { mount } = this.#root
    return { fd: mount && (await rootOf(mount)), mount, node: this.#root, owned: false }
  }

  async #run(walk: Walk, follow: boolean): Promise<void> {
    for (let name = walk.pending.pop(); name !== undefined; name = walk.pending.pop()) {
      const here = top(walk)
      if (name === '.') continue
      if (name === '..') {
        if (walk.steps.length > 1) closeStep(walk.steps.pop())
        continue
      }

      const node = here.node?.children.get(name)
      if (node) walk.steps.push(await enterNode(here, node, name))
      else if (here.fd === undefined) throw new FileError('ENOENT')
      else if (walk.pending.length > 0) await this.#enter(walk, here.fd, name)
      else await this.#reach(walk, { fd: here.fd, follow, name })
    }
  }

  /** A component on the way: a directory, or a link to follow. */
  async #enter(walk: Walk, parent: number, name: string): Promise<void> {
    try {
      const fd = await openFile(entryPath(parent, name), O_PATH | O_NOFOLLOW | O_DIRECTORY)
      walk.steps.push({ fd, mount: top(walk).mount, node: undefined, owned: true })
    } catch (error) {
      if (systemCode(error) !== 'ENOTDIR') throw error
      await this.#follow(walk, parent, name)
    }
  }

  /** The last component: any object, or a link to follow if asked to. */
  async #reach(walk: Walk, { fd: parent, follow, name }: { fd: number; follow: boolean; name: string }): Promise<void> {
    const fd = await openFile(entryPath(parent, name), O_PATH | O_NOFOLLOW)
    const step: Step = { fd, mount: top(walk).mount, node: undefined, owned: true }
    walk.steps.push(step)
    step.stats = await statDescriptor(fd)
    if (!follow || !step.stats.isSymbolicLink()) return
    closeStep(walk.steps.pop())
    await this.#follow(walk, parent, name)
  }

  async #follow(walk: Walk, parent: number, name: string): Promise<void> {
    if (++walk.links > MAX_LINKS) throw new FileError('ELOOP')
    const target = await readLink(parent, name).catch((error: unknown) => {
      // EINVAL: not a link, so a file where a directory must be.
      throw systemCode(error) === 'EINVAL' ? new FileError('ENOTDIR') : error
    })
    walk.pending.push(...components(target).toReversed())
    if (target.startsWith('/')) while (walk.steps.length > 1) closeStep(walk.steps.pop())
  }
}

/** A link's text, bytes as latin1. */
export function readLink(parent: number, name: string): Promise<string> {
  return fs.promises.readlink(entryPath(parent, name), { encoding: 'latin1' })
}

/** Into a node: a mount's root, or the real directory of that name if there is one. */
async function enterNode(here: Step, node: JailNode, name: string): Promise<Step> {
  const { mount } = node
  if (mount) return { fd: await rootOf(mount), mount, node, owned: false }
  if (here.fd === undefined) return { fd: undefined, mount: undefined, node, owned: false }
  const fd = await openFile(entryPath(here.fd, name), O_PATH | O_NOFOLLOW | O_DIRECTORY).catch(() => undefined)
  return { fd, mount: fd === undefined ? undefined : here.mount, node, owned: fd !== undefined }
}

async function rootOf(mount: JailMount): Promise<number> {
  if (mount.fd !== undefined) return mount.fd
  const fd = await openFile(mount.root, O_PATH | O_RDONLY)
  // Two READs may have come here at once.
  if (mount.fd === undefined) mount.fd = fd
  else closeDescriptor(fd)
  return mount.fd
}

function components(path: string): string[] {
  if (path.length > MAX_PATH_BYTES) throw new FileError('ENAMETOOLONG')
  if (path.includes('\0')) throw new FileError('EINVAL')
  // A slash at the end, like `/.`, says that the last name is a directory.
  return path
    .replace(/\/$/, '/.')
    .split('/')
    .filter((name) => name !== '')
}

function top(walk: Walk): Step {
  const step = walk.steps.at(-1)
  if (!step) throw new FileError('ENOENT')
  return step
}

function closeStep(step: Step | undefined): void {
  if (step?.owned && step.fd !== undefined) closeDescriptor(step.fd)
}

function release(walk: Walk): void {
  for (const step of walk.steps.splice(0)) closeStep(step)
}
