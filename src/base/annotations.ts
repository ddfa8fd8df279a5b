// Annotations by which the traffic-manager marks what it changed, and by which an uninstall finds it again.

/** Annotation of a Pod template that wants an agent. Its value, a time, makes the roll-out; its presence is the want, and outlives the manager. */
export const WANTED_ANNOTATION = 'tpx.dev/restartedAt'

/** Annotation of an injected Pod: the version that did it. */
export const INJECTED_ANNOTATION = 'tpx.dev/injected'
