{{/* Labels of every object. The last one tells the objects of several traffic-managers apart, also cluster-wide. */}}
{{- define "tpx.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: tpx
tpx.dev/manager-namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/* The labels by which the Services find the Pod; Telepresence's clients look for them, too. */}}
{{- define "tpx.selector" -}}
app: traffic-manager
telepresence: manager
{{- end }}

{{/* The image of the traffic-manager. */}}
{{- define "tpx.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.name }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The image of the agents: what agent.image leaves empty is as in image. */}}
{{- define "tpx.agentImage" -}}
{{- with .Values.agent.image.registry | default .Values.image.registry }}{{ . }}/{{ end -}}
{{ .Values.agent.image.name | default .Values.image.name }}:{{ .Values.agent.image.tag | default .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What a developer may do in a namespace whose workloads he attaches to. */}}
{{- define "tpx.clientRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
- apiGroups: [""]
  resources: [pods/portforward]
  verbs: [create]
{{- end }}
