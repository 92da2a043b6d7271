{{- /*
Names, and the values that several manifests share. What `config` says is read here and in _config.tpl alone.
Whatever text comes from outside is quoted (or goes through toYaml), for "on", "0123" and "1e3" are names too. Whatever
number does goes through int64: Helm reads a large one as 1.00066e+09, which is no integer to the API.
*/ -}}

{{- define "mailprobe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "mailprobe.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- /*
The vantage, where nobody named it: two of one name would be one to the alerts. A release in a namespace of its own name is
called by that alone. Other clusters the chart does not see: the notes say the name.
*/ -}}
{{- define "mailprobe.vantage" -}}
{{- $full := include "mailprobe.fullname" . }}
{{- ternary $full (printf "%s-%s" .Release.Namespace $full) (eq .Release.Namespace $full) }}
{{- end }}

{{- /* The job of a scrape. MailprobeDown knows a target that never answered by `mailprobe` in it. */ -}}
{{- define "mailprobe.job" -}}
{{- $name := include "mailprobe.fullname" . }}
{{- ternary $name (printf "mailprobe/%s" $name) (contains "mailprobe" $name) }}
{{- end }}

{{- define "mailprobe.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mailprobe.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "mailprobe.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "mailprobe.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* (list $ LABELS): of two labels of one name that of the values counts. */ -}}
{{- define "mailprobe.labelsAnd" -}}
{{- toYaml (merge (deepCopy (last .)) (fromYaml (include "mailprobe.labels" (first .)))) }}
{{- end }}

{{- define "mailprobe.image" -}}
{{- with .Values.image }}
{{- .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "mailprobe.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "mailprobe.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* What the daemon's pod and the test's have in common: everything but the container's work and the history. */ -}}
{{- define "mailprobe.pod" -}}
serviceAccountName: {{ include "mailprobe.serviceAccountName" . | quote }}
automountServiceAccountToken: {{ eq (include "mailprobe.usesAccount" .) "true" }}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .Values.hostNetwork }}
hostNetwork: true
dnsPolicy: ClusterFirstWithHostNet
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  runAsUser: {{ int64 . }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  {{- with .Values.fsGroup }}
  fsGroup: {{ int64 . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  {{- with .Values.supplementalGroups }}
  supplementalGroups: {{- toYaml . | nindent 4 }}
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ quote . }}
{{- end }}
{{- end }}

{{- /* Ends amid volumeMounts, so that the daemon can add its history. */ -}}
{{- define "mailprobe.container" -}}
image: {{ include "mailprobe.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .Values.environment }}
env:
  {{- range . }}
  - name: {{ .name | quote }}
    valueFrom: {secretKeyRef: {name: {{ .secret | quote }}, key: {{ .key | quote }}}}
  {{- end }}
{{- end }}
{{- with .Values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: config, mountPath: /etc/mailprobe, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- range $index, $secret := .Values.secrets }}
  - {name: secret-{{ $index }}, mountPath: {{ printf "/run/secrets/%s" $secret.name | quote }}, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* Group-readable and no more: the probe warns of password files that every user can read. */ -}}
{{- define "mailprobe.volumes" -}}
- name: config
  configMap: {name: {{ include "mailprobe.fullname" . | quote }}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- range $index, $secret := .Values.secrets }}
- name: secret-{{ $index }}
  secret: {secretName: {{ $secret.name | quote }}, defaultMode: 0440}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
