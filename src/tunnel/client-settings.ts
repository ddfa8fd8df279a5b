import type { ClientConfig } from '../wire/client-config.ts'
import { Cell } from './cell.ts'

/** What the user set for this connection: the CLI's part at once, the traffic-manager's defaults beneath it once they are known. */
export class ClientSettings extends Cell<ClientConfig> {}
