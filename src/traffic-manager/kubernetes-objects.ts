// The Kubernetes API's objects as they are in JSON: client-node's generated classes without their prototypes and Dates.
import type {
  CoreV1Event,
  V1Container,
  V1ContainerPort,
  V1ContainerStatus,
  V1EnvFromSource,
  V1EnvVar,
  V1LabelSelector,
  V1MutatingWebhookConfiguration,
  V1Pod,
  V1PodSpec,
  V1PodTemplateSpec,
  V1ResourceRequirements,
  V1Secret,
  V1SecurityContext,
  V1Service,
  V1ServicePort,
  V1Volume,
  V1VolumeMount,
} from '@kubernetes/client-node'

type Json<T> = T extends Date ? string : T extends (infer Item)[] ? Json<Item>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T

export type Container = Json<V1Container>
export type ContainerPort = Json<V1ContainerPort>
export type ContainerStatus = Json<V1ContainerStatus>
export type EnvFromSource = Json<V1EnvFromSource>
export type EnvVar = Json<V1EnvVar>
export type Event = Json<CoreV1Event>
export type LabelSelector = Json<V1LabelSelector>
export type MutatingWebhookConfiguration = Json<V1MutatingWebhookConfiguration>
export type Pod = Json<V1Pod>
export type PodSpec = Json<V1PodSpec>
export type PodTemplateSpec = Json<V1PodTemplateSpec>
export type ResourceRequirements = Json<V1ResourceRequirements>
export type Secret = Json<V1Secret>
export type SecurityContext = Json<V1SecurityContext>
export type Service = Json<V1Service>
export type ServicePort = Json<V1ServicePort>
export type Volume = Json<V1Volume>
export type VolumeMount = Json<V1VolumeMount>
