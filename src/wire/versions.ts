/** What the manager and agents announce in `Version`: the capability list of Telepresence's clients (2.21 = single-port `tcp` intercepts). */
export const ANNOUNCED_VERSION = 'v2.21.3'

/** Telepresence's clients warn unless the name begins with "OSS ". */
export const MANAGER_NAME = 'OSS Traffic Manager'
/** @see MANAGER_NAME */
export const AGENT_NAME = 'OSS Traffic Agent'

/** The product that a tpx client announces; a manager treats all others as Telepresence's. */
export const CLIENT_PRODUCT = 'tpx'

/** TCP port of the manager's client API, on the Pod's loopback and as the Service's port number; Telepresence's clients look for both name and number. */
export const MANAGER_API_PORT = 8081
/** @see MANAGER_API_PORT */
export const MANAGER_API_PORT_NAME = 'api'
/** TCP port of the manager's TLS API for agents, on the Pod's address. */
export const MANAGER_AGENT_PORT = 8082
/** TCP port of the admission webhook (HTTPS), also answers /healthz. */
export const MANAGER_WEBHOOK_PORT = 8443
/** Name of the manager's Service and Deployment. */
export const MANAGER_SERVICE = 'traffic-manager'
/** Audience of the ServiceAccount tokens by which agents prove who they are (TokenReview). */
export const AGENT_TOKEN_AUDIENCE = 'tpx-traffic-manager'
/** Name of the injected container. */
export const AGENT_CONTAINER = 'traffic-agent'
/** First port of the agent: its client API on the Pod's loopback; relayed ports follow. */
export const AGENT_API_PORT = 9900
/** Key in InterceptInfo.metadata: the bearer by which a client opens streams to the agents of its attachment. */
export const STREAM_KEY = 'tpx.dev/stream-key'
/** Mechanism of what is no attachment of a port but the right to have the workload's agents dial (`--proxy-via`). */
export const OUTBOUND_MECHANISM = 'outbound'
/**
 * gRPC metadata of EnsureAgent: the bearer (32 hexadecimal digits, the client's own choice) that the workload's agents are to accept for
 * {@link OUTBOUND_MECHANISM}; "taken" in the trailer of the same name says that they will.
 */
export const OUTBOUND_KEY_METADATA = 'tpx-outbound-key'
/**
 * Request metadata of CreateIntercept: the stream key that the attachment had before its session was lost, so that the agents know their
 * streams again. Taken if nobody has it.
 */
export const STREAM_KEY_WISH = 'tpx-stream-key'
