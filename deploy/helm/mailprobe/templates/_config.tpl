{{- /*
What `config` says, for whoever needs to know: as it is rendered, and what it means for ports, files and access rights.
Helm's templates give text only, so lists and mappings are passed as YAML and read back with fromYaml or fromYamlArray.
*/ -}}

{{- define "mailprobe.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $vantage := $config.vantage | default dict }}
{{- $web := $config.web | default dict }}
{{- $history := $config.history | default dict }}
{{- if not $vantage.name }}{{ $_ := set $vantage "name" (include "mailprobe.vantage" .) }}{{ end }}
{{- if not $web.listen }}{{ $_ := set $web "listen" ":9797" }}{{ end }}
{{- if not $history.file }}{{ $_ := set $history "file" "/var/lib/mailprobe/history.db" }}{{ end }}
{{- if not $history.size }}{{ $_ := set $history "size" (include "mailprobe.historySize" .) }}{{ end }}
{{- toYaml (merge (dict "vantage" $vantage "web" $web "history" $history) $config) }}
{{- end }}

{{- /* A quantity of Kubernetes, or a size of the configuration, in megabytes. */ -}}
{{- define "mailprobe.megabytes" -}}
{{- $units := dict "" 1e-6 "k" 1e-3 "M" 1 "G" 1e3 "T" 1e6 "P" 1e9 "MB" 1 "GB" 1e3 "TB" 1e6 }}
{{- $binary := dict "Ki" 1024e-6 "Mi" 1.048576 "Gi" 1073.741824 "Ti" 1099511.627776 "Pi" 1125899906.842624 }}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get (merge $units $binary) (regexFind "[A-Za-z]*$" .)) }}
{{- end }}

{{- /*
How big the history's volume is. The usual one has room for the probe's own default of history.size, 2GB; of a claim that was
there before and that nobody told the size of, no more is taken for granted than the least that people give.
*/ -}}
{{- define "mailprobe.volumeSize" -}}
{{- .Values.history.size | default (ternary "3Gi" "1Gi" (empty .Values.history.existingClaim)) }}
{{- end }}

{{- /* How big the history may get beside its log, in megabytes: four fifths of its volume. */ -}}
{{- define "mailprobe.historyLimit" -}}
{{- mulf 0.8 (include "mailprobe.megabytes" (include "mailprobe.volumeSize" .) | float64) | floor | int64 }}
{{- end }}

{{- /* The same as config.history.size is written: six digits and a unit, at most 100TB. */ -}}
{{- define "mailprobe.historySize" -}}
{{- $limit := include "mailprobe.historyLimit" . | int64 }}
{{- if gt $limit 999999 }}{{ min 100000 (div $limit 1000) }}GB{{ else }}{{ $limit }}MB{{ end }}
{{- end }}

{{- /* The host of [SCHEME://]HOST:PORT, in small letters; none where it listens on every address, however that is written. */ -}}
{{- define "mailprobe.listensOn" -}}
{{- $host := regexReplaceAll "^(?:[a-z]+://)?(.*):[0-9]+$" . "${1}" | lower }}
{{- regexReplaceAll "^(0[.]0[.]0[.]0|\\[[0:]+\\])$" $host "" }}
{{- end }}

{{- /*
"true" where nobody from outside the pod comes to a listener: (list [SCHEME://]HOST:PORT HOSTNETWORK). On a network of its own
a pod does not know its addresses beforehand, so it listens on all of them.
*/ -}}
{{- define "mailprobe.deaf" -}}
{{- $host := include "mailprobe.listensOn" (first .) }}
{{- $loopback := regexMatch "^(127[.].*|(ip6-)?localhost([.].*)?|\\[([0:]*:0*1|::ffff:127[.].*)\\])$" $host }}
{{- if and (not (contains "${" $host)) (or $loopback (not (or (empty $host) (last .)))) }}true{{ end }}
{{- end }}

{{- define "mailprobe.webPort" -}}
{{- regexFind "[1-9][0-9]*$" ((.Values.config.web | default dict).listen | default ":9797") }}
{{- end }}

{{- define "mailprobe.sources" -}}
{{- toYaml ((.Values.config.evidence | default dict).sources | default list) }}
{{- end }}

{{- /* Each syslog listener: {host, port, protocol, senders}. */ -}}
{{- define "mailprobe.syslogPorts" -}}
{{- $ports := list }}
{{- range fromYamlArray (include "mailprobe.sources" .) }}
{{- if eq .kind "syslog" }}
{{- $protocol := ternary "UDP" "TCP" (hasPrefix "udp:" .listen) }}
{{- $port := regexFind "[1-9][0-9]*$" .listen | int }}
{{- $ports = append $ports (dict "host" (include "mailprobe.listensOn" .listen) "port" $port "protocol" $protocol "senders" (.senders | default list)) }}
{{- end }}
{{- end }}
{{- toYaml $ports }}
{{- end }}

{{- /*
Every file that the configuration names, as lines "PLACE FILE". Of a mapping: keys that end in _file, kubeconfig, and the
path of a source of kind file.
*/ -}}
{{- define "mailprobe.files" -}}
{{- $place := .place }}
{{- $node := .node }}
{{- if kindIs "map" $node }}
{{- range $key, $value := $node }}
{{- $isFile := or (hasSuffix "_file" $key) (eq $key "kubeconfig") (and (eq $key "path") (eq ($node.kind | default "") "file")) }}
{{- if and $isFile $value }}
{{ printf "%s.%s %s" $place $key $value }}
{{- else }}
{{- include "mailprobe.files" (dict "place" (printf "%s.%s" $place $key) "node" $value) }}
{{- end }}
{{- end }}
{{- else if kindIs "slice" $node }}
{{- range $index, $value := $node }}
{{- include "mailprobe.files" (dict "place" (printf "%s[%d]" $place $index) "node" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Every URL that is asked. */ -}}
{{- define "mailprobe.urls" -}}
{{- $urls := list }}
{{- with .Values.config.dovecot_metrics }}{{ $urls = append $urls .url }}{{ end }}
{{- with .Values.config.sink }}{{ $urls = append $urls .url }}{{ end }}
{{- range fromYamlArray (include "mailprobe.sources" .) }}
{{- if eq .kind "loki" }}{{ $urls = append $urls .url }}{{ end }}
{{- end }}
{{- toYaml ($urls | uniq) }}
{{- end }}

{{- /* A duration of Prometheus, or of the configuration, in milliseconds. */ -}}
{{- define "mailprobe.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 }}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9.]+\\s*(ms|[smhd])" . -1 }}
{{- $sum = addf $sum (mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-z]+$" .))) }}
{{- end }}
{{- $sum }}
{{- end }}

{{- /*
How long a scrape of /probe has to wait for one session, in milliseconds; 0 where a variable hides it (docs/http.md): the session,
where a message is delivered the one that reads it back, then the evidence, or after a failure at most two control connections of
10 s; 3 s for a cause; and 0.5 s of a scrape are left for the answer's way. A test holds it against the daemon's own bounds.
*/ -}}
{{- define "mailprobe.longestAnswer" -}}
{{- $timeouts := .Values.config.timeouts | default dict }}
{{- if contains "${" (toJson $timeouts) }}0{{ else }}
{{- $session := include "mailprobe.milliseconds" ($timeouts.session | default "30s") | float64 }}
{{- $evidence := include "mailprobe.milliseconds" ($timeouts.evidence | default "15s") | float64 }}
{{- $sessions := ternary 2 1 (contains "\"imprint\":\"deliver\"" (toJson .Values.config.paths)) }}
{{- addf (mulf $sessions $session) (maxf $evidence 20000) 3000 500 }}
{{- end }}
{{- end }}

{{- /* Places of passwords that are written out, one a line: a key `password`, and a user's in a URL. Never what they are. */ -}}
{{- define "mailprobe.secretsInClear" -}}
{{- $place := .place }}
{{- if kindIs "map" .node }}
{{- range $key, $value := .node }}
{{- $written := and (kindIs "string" $value) (not (contains "${" (toString $value))) }}
{{- if and $written (or (eq $key "password") (and (eq $key "url") (regexMatch "://[^/?#]*@" $value))) }}
{{ printf "%s.%s" $place $key }}
{{- end }}
{{- include "mailprobe.secretsInClear" (dict "place" (printf "%s.%s" $place $key) "node" $value) }}
{{- end }}
{{- else if kindIs "slice" .node }}
{{- range $index, $value := .node }}
{{- include "mailprobe.secretsInClear" (dict "place" (printf "%s[%d]" $place $index) "node" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- /*
Everything under which a file may lie; of the image itself the authorities that its system trusts, which a derived image
adds to by update-ca-certificates.
*/ -}}
{{- define "mailprobe.mounts" -}}
{{- $mounts := list "/var/run/secrets/kubernetes.io/serviceaccount" "/run/secrets/kubernetes.io/serviceaccount" }}
{{- $mounts = append $mounts "/etc/ssl/certs/ca-certificates.crt" }}
{{- range .Values.secrets }}{{ $mounts = append $mounts (printf "/run/secrets/%s" .name) }}{{ end }}
{{- range .Values.extraVolumeMounts }}{{ $mounts = append $mounts .mountPath }}{{ end }}
{{- toYaml $mounts }}
{{- end }}

{{- /*
What is read from a Kubernetes API with the pod's own account (all that is read, with accountOnly):
{logs: [NAMESPACE], services: [{namespace, service}]}.
*/ -}}
{{- define "mailprobe.reads" -}}
{{- $all := .Values.accountOnly }}
{{- $logs := list }}
{{- range fromYamlArray (include "mailprobe.sources" .) }}
{{- if and (eq .kind "kubernetes") (or $all (not .kubeconfig)) }}{{ $logs = append $logs .namespace }}{{ end }}
{{- end }}
{{- $services := list }}
{{- with (.Values.config.topology | default dict).kubernetes }}
{{- if or $all (not .kubeconfig) }}
{{- $services = list (dict "namespace" .namespace "service" .service) }}
{{- end }}
{{- end }}
{{- toYaml (dict "logs" ($logs | uniq) "services" $services) }}
{{- end }}

{{- define "mailprobe.readsApi" -}}
{{- $reads := fromYaml (include "mailprobe.reads" .) }}
{{- if or $reads.logs $reads.services }}true{{ end }}
{{- end }}

{{- define "mailprobe.usesAccount" -}}
{{- $files := include "mailprobe.files" (dict "place" "config" "node" .Values.config) }}
{{- if or (include "mailprobe.readsApi" .) (contains "/run/secrets/kubernetes.io/serviceaccount/" $files) }}true{{ end }}
{{- end }}

{{- /* The Roles: [{name, namespace, rules}]; without a namespace it is a ClusterRole. docs/kubernetes.md explains each. */ -}}
{{- define "mailprobe.roles" -}}
{{- $reads := fromYaml (include "mailprobe.reads" .) }}
{{- range $reads.logs }}
- name: logs
  namespace: {{ quote . }}
  rules:
    - {apiGroups: [""], resources: [pods], verbs: [list, watch]}
    - {apiGroups: [""], resources: [pods/log], verbs: [get]}
{{- end }}
{{- range $reads.services }}
- name: service
  namespace: {{ quote .namespace }}
  rules:
    - {apiGroups: [""], resources: [services], resourceNames: [{{ .service | quote }}], verbs: [get]}
    - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list]}
- name: nodes
  namespace: ""
  rules:
    - {apiGroups: [""], resources: [nodes], verbs: [list]}
    - {apiGroups: [crd.projectcalico.org], resources: [ippools], verbs: [list]}
    - {apiGroups: [metallb.io], resources: [servicel2statuses, l2advertisements], verbs: [list]}
{{- end }}
{{- end }}
