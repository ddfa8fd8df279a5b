/** Value of the label dev.tpx.owner for the volumes of an attachment that outlives its command. */
export function attachmentOwner(connection: string, attachment: string): string {
  return `${connection}.${attachment.replaceAll(/[^a-zA-Z0-9_.-]/g, '-')}`
}
