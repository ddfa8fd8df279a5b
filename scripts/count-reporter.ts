// A reporter for node:test that writes one line a leaf test, "pass", "fail" or "skip", for the summary of scripts/test.
import type { TestEvent } from 'node:test/reporters'

type Event = { data: { details?: { type?: string }; skip?: boolean | string; todo?: boolean | string }; type: string }

export default async function* count(source: AsyncIterable<TestEvent & Event>): AsyncGenerator<string> {
  for await (const { data, type } of source) {
    if ((type !== 'test:pass' && type !== 'test:fail') || data.details?.type === 'suite') continue
    if (data.skip !== undefined) yield 'skip\n'
    else yield type === 'test:pass' ? 'pass\n' : 'fail\n'
  }
}
