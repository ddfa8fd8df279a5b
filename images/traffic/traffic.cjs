'use strict'
// The image's entry: the first argument names the program, the rest is the program's own.

const programs = { agent: './traffic-agent.cjs', manager: './traffic-manager.cjs' }

const name = process.argv[2]
if (!Object.hasOwn(programs, name ?? '')) {
  console.error(`Name the program to run, ${Object.keys(programs).join(' or ')}: got ${JSON.stringify(name ?? '')}`)
  process.exit(64)
}

// The image's V8 flags fit the agent. V8 reads them at its start only, so the manager, which keeps a whole cluster's
// workloads in memory, starts again without them (25 ms); its heap then follows the container's memory limit. The flags that it gets instead:
// see ARCHITECTURE.md, "Garbage".
if (name === 'manager' && !process.env.TPX_RESTARTED && process.execve) {
  const flags = ['--external-memory-accounted-in-global-limit', '--heap-growing-percent=100']
  process.execve(process.execPath, [process.execPath, ...flags, __filename, ...process.argv.slice(2)], {
    ...process.env,
    TPX_RESTARTED: '1',
  })
}

// As if the bundle had been started by itself, so that it finds its own arguments where they always are.
process.argv.splice(1, 2, require.resolve(programs[name]))
require(programs[name])
