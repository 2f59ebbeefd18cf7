{{- define "trainyard.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "trainyard.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "trainyard.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "trainyard.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "trainyard.selectorLabels" -}}
app.kubernetes.io/name: {{ include "trainyard.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "trainyard.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "trainyard.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: trainyard
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "trainyard.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "trainyard.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "trainyard.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "trainyard.logsClaim" -}}
{{- default (printf "%s-logs" (include "trainyard.fullname" .)) .Values.logs.persistence.existingClaim }}
{{- end }}

{{- /* Folders with the user's entries of the runtime catalogue: the settings' own, and what the chart mounts. */}}
{{- define "trainyard.catalogFolders" -}}
{{- $folders := .Values.settings.catalogFolders | default list }}
{{- if .Values.catalog }}
{{- $folders = append $folders "/etc/trainyard-catalog/values" }}
{{- end }}
{{- range .Values.catalogConfigMaps }}
{{- $folders = append $folders (printf "/etc/trainyard-catalog/configmaps/%s" .) }}
{{- end }}
{{- toJson $folders }}
{{- end }}

{{- /* The settings of logs: what lies in the volume may grow as large as that is, unless they say otherwise. */}}
{{- define "trainyard.logSettings" -}}
{{- $logs := .Values.settings.logs | default dict }}
{{- $volume := .Values.logs.persistence.enabled | ternary .Values.logs.persistence.size .Values.logs.emptyDirSizeLimit }}
{{- $known := and $volume (not (and .Values.logs.persistence.enabled .Values.logs.persistence.existingClaim)) }}
{{- $store := $logs.store | default "file:///var/lib/trainyard/logs" }}
{{- $folder := $logs.spool | default "/var/lib/trainyard/logs/.spool" }}
{{- if hasPrefix "file:" $store }}
{{- $folder = trimPrefix "file://" $store }}
{{- end }}
{{- $ours := hasPrefix "/var/lib/trainyard/logs/" (printf "%s/" (trimSuffix "/" $folder)) }}
{{- if and $known $ours (not (hasKey $logs "maxSize")) }}
{{- $logs = merge (dict "maxSize" $volume) $logs }}
{{- end }}
{{- toYaml $logs }}
{{- end }}

{{- /* The port of health and metrics is a setting of the operator; every manifest follows it. */}}
{{- define "trainyard.port" -}}
{{- dig "endpoint" "port" 8081 .Values.settings | int }}
{{- end }}

{{- /* The status server is on unless the settings say otherwise, or the operator may not look into tokens. */}}
{{- define "trainyard.statusServer.on" -}}
{{- if and (dig "statusServer" "enabled" true .Values.settings) .Values.rbac.tokenReviews }}on{{ end }}
{{- end }}

{{- define "trainyard.statusServer.port" -}}
{{- dig "statusServer" "port" 8443 .Values.settings | int }}
{{- end }}

{{- define "trainyard.statusServer.secret" -}}
{{- default (printf "%s-status-server" (include "trainyard.fullname" .)) .Values.statusServer.existingSecret }}
{{- end }}

{{- /* Its settings: how pods reach it, and where its certificate is, unless they say otherwise. */}}
{{- define "trainyard.statusServer.settings" -}}
{{- $given := .Values.settings.statusServer | default dict }}
{{- if include "trainyard.statusServer.on" . }}
{{- $url := printf "https://%s.%s.svc:8443" (include "trainyard.fullname" .) .Release.Namespace }}
{{- $ours := dict "url" $url "secret" (include "trainyard.statusServer.secret" .) "namespace" .Release.Namespace }}
{{- toYaml (merge (dict) $given $ours) }}
{{- else }}
{{- toYaml (dict "enabled" false) }}
{{- end }}
{{- end }}

{{- /* What the operator may do with the objects of a namespace: every verb here is one that it uses. */}}
{{- define "trainyard.rules" -}}
- apiGroups: [trainyard.dev]
  resources: [trainingjobs, datasets, experiments, mlmodels]
  verbs: [get, list, watch]
- apiGroups: [trainyard.dev]
  resources: [datasets] # those that jobs make; a finalizer keeps one whose data is in use
  verbs: [create, patch]
- apiGroups: [trainyard.dev]
  # Those of experiments and models; of every job the annotation by which it finds what it has stored when it was
  # restored from a backup, and the experiment that it names as its owner.
  resources: [trainingjobs]
  verbs: [create, patch, delete]
- apiGroups: [trainyard.dev]
  resources: [experiments] # those by which models are trained
  verbs: [create, delete]
- apiGroups: [trainyard.dev]
  resources: [trainingjobs/status, datasets/status, experiments/status, mlmodels/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services] # by which the pods of a job on several nodes find each other
  verbs: [get, create, delete]
- apiGroups: [scheduling.x-k8s.io, scheduling.volcano.sh]
  resources: [podgroups] # by which scheduler-plugins and Volcano bind them together
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [persistentvolumeclaims] # those that hold what was pulled
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [events] # those of a pod that is stuck say why
  verbs: [create, list]
- apiGroups: [""]
  resources: [secrets] # of callbacks; the operator takes none without the label trainyard.dev/callback: "true"
  verbs: [get]
{{- end }}
