{{- define "tiersync.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tiersync.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tiersync.labels" -}}
{{ include "tiersync.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The kinds of pods there are, by comma. */}}
{{- define "tiersync.roles" -}}
{{- if .Values.separateRoles }}receiver,worker{{ else }}all{{ end }}
{{- end }}

{{/* A kind of pod's objects: their common name. */}}
{{- define "tiersync.roleName" -}}
{{ include "tiersync.name" .root }}{{ if ne .role "all" }}-{{ .role }}{{ end }}
{{- end }}
