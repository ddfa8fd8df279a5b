import { execute } from '@oclif/core'

/** Runs the command line. @param location URL of bin/run.js, from where oclif finds package.json */
export function run(location: string): void {
  // Not awaited: with a top-level await, `tpx … --help | head` now and then ends with exit code 13.
  void execute({ dir: location })
}
