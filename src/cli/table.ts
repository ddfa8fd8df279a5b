import Table from 'cli-table3'

const none = {
  bottom: '',
  'bottom-left': '',
  'bottom-mid': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  middle: '  ',
  right: '',
  'right-mid': '',
  top: '',
  'top-left': '',
  'top-mid': '',
  'top-right': '',
}

/** Rows under upper-case heads, as kubectl prints them. */
export function formatTable(heads: string[], rows: string[][]): string {
  const table = new Table({
    chars: none,
    head: heads,
    style: { border: [], compact: true, head: [], 'padding-left': 0, 'padding-right': 0 },
  })
  table.push(...rows)
  return `${table.toString().replaceAll(/ +$/gm, '')}\n`
}
