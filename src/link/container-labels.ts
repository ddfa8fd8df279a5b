// Labels that src/container puts on what it makes; the link may not import it (it brings in half of the CLI).

/** Id of the `docker-run` that made a container or volume. */
export const OWNER_LABEL = 'dev.tpx.owner'
export const ROLE_LABEL = 'dev.tpx.role'
export const MOUNT_ROLE = 'mount'
