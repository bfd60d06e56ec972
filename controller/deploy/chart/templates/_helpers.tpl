{{/* Labels of every object. Selectors use the first alone, as the manifests for kubectl do. */}}
{{- define "labels" -}}
app.kubernetes.io/name: lora-controller
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "image" -}}
{{ required "image.repository is empty; set it to the repository that has the operator's image" .Values.image.repository }}:
{{- .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Permissions in the managed namespaces: exactly those that the operator uses. */}}
{{- define "rules" -}}
- apiGroups: [model.aibrix.ai]
  resources: [modeladapters]
  verbs: [list, watch, patch]
- apiGroups: [model.aibrix.ai]
  resources: [modeladapters/status]
  verbs: [patch]
- apiGroups: [model.aibrix.ai]
  resources: [modeladapters/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- if not .Values.namespaces }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch, create, patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, create, patch]
{{- end }}

{{/* Port of a URL, or that of its scheme. */}}
{{- define "tracingPort" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (eq $url.scheme "https" | ternary "443" "80") -}}
{{- end -}}
