// The fields of Kubernetes objects (core/v1) that tpx reads, as they are in JSON.

export type ObjectMeta = {
  creationTimestamp?: string
  deletionTimestamp?: string
  labels?: Record<string, string>
  name: string
  namespace?: string
}

export type ContainerState = {
  running?: object
  terminated?: { exitCode: number; message?: string; reason?: string }
  waiting?: { message?: string; reason?: string }
}

export type ContainerStatus = { lastState?: ContainerState; name: string; ready: boolean; restartCount: number; state?: ContainerState }

export type Pod = {
  metadata: ObjectMeta
  spec: {
    containers: {
      env?: { name: string; value?: string }[]
      image?: string
      name: string
      ports?: { containerPort: number; name?: string; protocol?: string }[]
    }[]
  }
  status?: {
    conditions?: { message?: string; reason?: string; status: string; type: string }[]
    containerStatuses?: ContainerStatus[]
    initContainerStatuses?: ContainerStatus[]
    message?: string
    phase?: string
    reason?: string
  }
}

export type ServicePort = { name?: string; port: number; targetPort?: number | string }

export type Service = { metadata: ObjectMeta; spec: { ports?: ServicePort[]; selector?: Record<string, string> } }

export type List<T> = { items: T[]; metadata?: { continue?: string } }
