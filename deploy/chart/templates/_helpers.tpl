{{/* What selects Moat's pods. */}}
{{- define "moat.selector" -}}
app.kubernetes.io/name: moat
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels of every object. */}}
{{- define "moat.labels" -}}
{{ include "moat.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The name of the webhook, of its Service and of its Secret. */}}
{{- define "moat.admission" -}}
{{ .Release.Name }}-admission
{{- end }}

{{/* The configuration, complete. */}}
{{- define "moat.configuration" -}}
{{- $own := dict "apiVersion" "moat.dev/v1alpha1" "kind" "Configuration" }}
{{- $_ := set $own "serve" (dict "address" (printf "[::]:%d" (int .Values.ports.serve))) }}
{{- $_ := set $own "log" (dict "level" .Values.logLevel "address" (printf "127.0.0.1:%d" (int .Values.ports.log))) }}
{{- if .Values.admission.enabled }}
{{- $_ := set $own "admission" (dict "address" (printf "[::]:%d" (int .Values.ports.admission)) "name" (include "moat.admission" .)) }}
{{- end }}
{{- if and (eq .Values.provider "aws") (not .Values.configuration.vpc) }}
{{- fail "`configuration.vpc` is missing: say which VPC holds the cluster, such as vpc-0123456789abcdef0" }}
{{- end }}
{{- merge $own .Values.configuration | toYaml }}
{{- end }}
