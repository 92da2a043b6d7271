{{- /*
Values that contradict each other, or the place where the chart puts them: each is one line that begins with "- " and says
what is wrong and what to do. checks.yaml stops the rendering with all of them at once.
What one value alone may be is said by values.schema.json; what two keys of `config` say to each other by `probe check-config`.
*/ -}}

{{- define "mailprobe.contradictions" -}}
{{- include "mailprobe.contradictions.config" . }}
{{- include "mailprobe.contradictions.rules" . }}
{{- if .Values.accountOnly }}
{{- include "mailprobe.contradictions.account" . }}
{{- else }}
{{- include "mailprobe.contradictions.place" . }}
{{- include "mailprobe.contradictions.web" . }}
{{- include "mailprobe.contradictions.files" . }}
{{- include "mailprobe.contradictions.sources" . }}
{{- include "mailprobe.contradictions.monitoring" . }}
{{- end }}
{{- end }}

{{- define "mailprobe.contradictions.config" -}}
{{- if not .Values.config.paths }}
- config.paths is empty: give the configuration (mailprobe.yaml) as `config`; mailprobe.example.yaml is one to begin with.
{{- end }}
{{- $names := list }}
{{- range $index, $path := .Values.config.paths }}
{{- if has $path.name $names }}
- config.paths[{{ $index }}].name is {{ $path.name | quote }}, as another path's is: metrics and alerts go by it, so give each a name of its own.
{{- end }}
{{- $names = append $names $path.name }}
{{- end }}
{{- range splitList "\n" (include "mailprobe.secretsInClear" (dict "place" "config" "node" .Values.config) | trim) }}
{{- if . }}
- {{ . }} holds a secret in clear, and whoever may read the ConfigMap reads it: name a file of a Secret (password_file) or a variable (${NAME}) instead.
{{- end }}
{{- end }}
{{- range fromYamlArray (include "mailprobe.urls" .) }}
{{- if regexMatch "://[^/?#]*[$][{][^/?#]*@" . }}
- config has a URL with a user in it, {{ regexReplaceAll "//[^/?#]*@" . "//…@" }}, and the daemon takes none: leave host and port there; for a Loki `username` stands beside it, with `password` or `password_file`.
{{- end }}
{{- end }}
{{- if .Values.rbac.create }}
{{- $reads := fromYaml (include "mailprobe.reads" .) }}
{{- $names := $reads.logs | default list }}
{{- range $reads.services }}{{ $names = concat $names (list .namespace .service) }}{{ end }}
{{- range $names | uniq }}
{{- if contains "${" . }}
- config reads {{ . }} from the Kubernetes API, and access rights have to name the namespace or Service: write it out, or set rbac.create: false and give the rights yourself.
{{- end }}
{{- end }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) (include "mailprobe.readsApi" .) }}
- serviceAccount.create is false and serviceAccount.name empty, while config reads from the Kubernetes API: the rights would go to every pod of the namespace. Name an account of the probe's own.
{{- end }}
{{- end }}

{{- define "mailprobe.contradictions.account" -}}
{{- range $scrape := list "serviceMonitor" "probeResources" }}
{{- if (get $.Values $scrape).enabled }}
- accountOnly is true and {{ $scrape }}.enabled too: this release has no daemon to scrape. Enable it in the probe's release; of a probe that stands elsewhere the scrape is yours to make (docs/helm.md, "Prometheus in the cluster, the probe outside").
{{- end }}
{{- end }}
{{- if not (or .Values.prometheusRule.enabled .Values.maintenanceRule.enabled .Values.dashboard.enabled) }}
{{- if not .Values.rbac.create }}
- accountOnly is true and rbac.create false: nothing would be left to install.
{{- end }}
{{- if not (include "mailprobe.readsApi" .) }}
- accountOnly is true, but config has neither a source of kind kubernetes nor topology.kubernetes: there is nothing that an account could read.
{{- end }}
{{- end }}
{{- end }}

{{- define "mailprobe.contradictions.place" -}}
{{- $addresses := (.Values.config.vantage | default dict).addresses }}
{{- if and (not .Values.hostNetwork) (not .Values.podAddressIsSeen) (not $addresses) }}
- Nothing says which address the mail server should see: a pod's is usually replaced by its node's, and every session would be called masked. Set hostNetwork: true, or name the addresses in config.vantage.addresses, or set podAddressIsSeen: true where pods are routed with their own.
{{- end }}
{{- if not (or .Values.hostNetwork .Values.podAnnotations) }}
{{- range $index, $path := .Values.config.paths }}
{{- if $path.source_address }}
- config.paths[{{ $index }}].source_address is {{ $path.source_address | quote }}: a pod with a network of its own does not have that address, and no session could be opened from it. Set hostNetwork: true, or leave it out, or let podAnnotations give the pod the address (Multus, a fixed address of the network plugin).
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.hostNetwork .Values.podAddressIsSeen }}
- hostNetwork and podAddressIsSeen are both true: on the node's network the pod has no address of its own.
{{- end }}
{{- if and $addresses .Values.podAddressIsSeen }}
- podAddressIsSeen is true and config.vantage.addresses names addresses: the first says that sessions arrive from the pod's own. Keep the one that is true.
{{- end }}
{{- if and .Values.hostNetwork .Values.networkPolicy.enabled }}
- hostNetwork and networkPolicy.enabled are both true: network plugins apply no NetworkPolicy to pods on the node's network, so it would protect nothing. Protect the port by config.web.config_file and the node's firewall.
{{- end }}
{{- if ne (empty .Values.runAsUser) (empty .Values.fsGroup) }}
- Of runAsUser and fsGroup one is null: without fsGroup the user can read no Secret and write no history, and a platform that gives users of its own refuses one that is named. Make both null (OpenShift), or neither.
{{- end }}
{{- if and (or .Values.networkPolicy.from .Values.networkPolicy.extraEgress) (not .Values.networkPolicy.enabled) }}
- networkPolicy names who may pass and networkPolicy.enabled is false: nothing would be kept out. Enable it, or take the names out.
{{- end }}
{{- if not (regexMatch "^[a-z]" (include "mailprobe.fullname" .)) }}
- The Service would be called {{ include "mailprobe.fullname" . | quote }}, and a Service's name begins with a letter: set fullnameOverride.
{{- end }}
{{- if and .Values.history.existingClaim .Values.history.storageClass }}
- history.existingClaim and history.storageClass are both given: a claim that exists has its class already.
{{- end }}
{{- if and .Values.history.existingClaim (not .Values.history.persistent) }}
- history.existingClaim is given and history.persistent is false: one of the two is meant.
{{- end }}
{{- include "mailprobe.contradictions.room" . }}
{{- if and (.Values.config.checks | default dict).spoof (not .Values.history.persistent) }}
- config.checks.spoof is set and history.persistent is false: when a forged header was last sent is remembered beside the history, and each new pod would send them again.
{{- end }}
{{- end }}

{{- define "mailprobe.contradictions.room" -}}
{{- $size := (.Values.config.history | default dict).size }}
{{- $limit := include "mailprobe.historyLimit" . | float64 }}
{{- $isKnown := or .Values.history.size (not .Values.history.existingClaim) }}
{{- if lt $limit 10.0 }}
- history.size is {{ .Values.history.size }}: the history takes 10MB at least, and its log needs room beside it. Make it 13Mi or more.
{{- else if and $isKnown $size (not (contains "${" $size)) (gt (include "mailprobe.megabytes" $size | float64) $limit) }}
- config.history.size is {{ $size }} and history.size, its volume's, {{ include "mailprobe.volumeSize" . }}: the file may have four fifths of it, {{ include "mailprobe.historySize" . }}, or the disk would be full. Leave config.history.size out, or make the volume bigger.
{{- end }}
{{- end }}

{{- define "mailprobe.contradictions.web" -}}
{{- $web := .Values.config.web | default dict }}
{{- $listen := $web.listen | default ":9797" }}
{{- if include "mailprobe.deaf" (list $listen .Values.hostNetwork) }}
- config.web.listen is {{ $listen | quote }}: neither the kubelet nor the Service comes to that address. Leave it out, or listen on ":9797".
{{- end }}
{{- $port := include "mailprobe.webPort" . | int }}
{{- if eq $port 0 }}
- config.web.listen is {{ $listen | quote }}: a Service needs to know the port.
{{- end }}
{{- if and .Values.hostNetwork (gt $port 0) (lt $port 1024) }}
- config.web.listen has port {{ $port }}: on the node's network ports below 1024 take a privilege that the pod does not have.
{{- end }}
{{- if and (eq .Values.lifeSigns.over "https") (not $web.config_file) }}
- lifeSigns.over is https, but config.web.config_file is not given: the daemon speaks plain HTTP.
{{- end }}
{{- $isScraped := or .Values.serviceMonitor.enabled .Values.probeResources.enabled }}
{{- if and $web.config_file (eq .Values.lifeSigns.over "http") (eq .Values.scrape.scheme "https") }}
- lifeSigns.over is http and scrape.scheme https: the daemon speaks one of them, and where that is TLS the kubelet would end the pod again and again. Leave lifeSigns.over at auto, or correct scrape.scheme.
{{- end }}
{{- if and $web.config_file $isScraped (eq .Values.lifeSigns.over "https") (eq .Values.scrape.scheme "http") }}
- lifeSigns.over is https and scrape.scheme http: the daemon speaks one of them, so either the kubelet would end the pod again and again or no scrape would be answered. Set scrape.scheme to https, or leave lifeSigns.over at auto.
{{- end }}
{{- if and $web.config_file .Values.scrape.basicAuth (has .Values.lifeSigns.over (list "http" "https")) }}
- lifeSigns.over is {{ .Values.lifeSigns.over }} and scrape.basicAuth is given: a daemon that asks for a password asks the kubelet too, which has none, and would end the pod again and again. Leave lifeSigns.over at auto, or take exec.
{{- end }}
{{- with .Values.scrape.tlsConfig }}
{{- if and $web.config_file (eq $.Values.lifeSigns.over "https") (or .cert .certFile .keySecret .keyFile) }}
- lifeSigns.over is https and scrape.tlsConfig has a certificate: a daemon that asks for one asks the kubelet too, which has none, and would end the pod again and again. Leave lifeSigns.over at auto, or take exec.
{{- end }}
{{- end }}
{{- $file := (.Values.config.history | default dict).file | default "/var/lib/mailprobe/history.db" }}
{{- if or (not (hasPrefix "/var/lib/mailprobe/" (clean $file))) (hasSuffix "/" $file) }}
- config.history.file is {{ $file | quote }}: only /var/lib/mailprobe is a volume that can be written. Leave it out, or name a file there.
{{- end }}
{{- end }}

{{- define "mailprobe.contradictions.files" -}}
{{- $mounts := fromYamlArray (include "mailprobe.mounts" .) }}
{{- range splitList "\n" (include "mailprobe.files" (dict "place" "config" "node" .Values.config) | trim) }}
{{- if . }}
{{- $place := regexReplaceAll " .*" . "" }}
{{- $file := trimPrefix (printf "%s " $place) . }}
{{- $found := false }}
{{- range $mounts }}
{{- if or (eq $file .) (hasPrefix (printf "%s/" (trimSuffix "/" .)) (clean $file)) }}{{ $found = true }}{{ end }}
{{- end }}
{{- if and (eq $file "-") (hasSuffix ".path" $place) }}
- {{ $place }} is "-", standard input, and nobody writes to a pod's. Take another kind of source.
{{- else if and (not $found) (hasSuffix ".path" $place) }}
- {{ $place }} is {{ $file | quote }}, a log that is not mounted: take a source that comes over the network (syslog, loki, kubernetes), or mount its directory with extraVolumes and extraVolumeMounts.
{{- else if not $found }}
- {{ $place }} is {{ $file | quote }}, and nothing is mounted there: list its Secret in `secrets` and name the file /run/secrets/NAME/KEY, or mount it with extraVolumes and extraVolumeMounts.
{{- end }}
{{- end }}
{{- end }}
{{- $volumes := list "config" "history" "tmp" }}
{{- range $index, $_ := .Values.secrets }}{{ $volumes = append $volumes (printf "secret-%d" $index) }}{{ end }}
{{- range .Values.extraVolumes }}
{{- if has .name $volumes }}
- extraVolumes has a volume {{ .name | quote }}, which is one of the chart's or there twice: give it another name.
{{- end }}
{{- $volumes = append $volumes .name }}
{{- end }}
{{- /* Directories out of a ConfigMap or Secret: the kubelet makes a directory of every place below, on which no file can be put. */}}
{{- $fixed := list "/etc/mailprobe" }}
{{- range .Values.secrets }}{{ $fixed = append $fixed (printf "/run/secrets/%s" .name) }}{{ end }}
{{- $places := concat $fixed (list "/var/lib/mailprobe" "/tmp") }}
{{- $single := list }}
{{- $keyed := list }}
{{- range .Values.extraVolumes }}
{{- if has ((.hostPath | default dict).type | default "") (list "File" "FileOrCreate" "Socket") }}{{ $single = append $single .name }}{{ end }}
{{- if or .configMap .secret .projected .downwardAPI }}{{ $keyed = append $keyed .name }}{{ end }}
{{- end }}
{{- range $mount := .Values.extraVolumeMounts }}
{{- if or (has .name $single) (and (has .name $keyed) (or .subPath .subPathExpr)) }}
{{- range $fixed }}
{{- if hasPrefix (printf "%s/" .) (clean $mount.mountPath) }}
- extraVolumeMounts puts a file at {{ $mount.mountPath | quote }}, and {{ . }} is a read-only directory of the chart's: the container could not be made. Choose a place outside, say {{ printf "/etc/mailprobe-files/%s" (base $mount.mountPath) }}, or mount the whole directory.
{{- end }}
{{- end }}
{{- end }}
{{- if not (has .name $volumes) }}
- extraVolumeMounts mounts a volume {{ .name | quote }}, which extraVolumes does not have.
{{- end }}
{{- if has (clean .mountPath) $places }}
- extraVolumeMounts has {{ .mountPath | quote }}, where something else is mounted: choose another place.
{{- end }}
{{- $places = append $places (clean .mountPath) }}
{{- end }}
{{- $names := list }}
{{- range .Values.secrets }}
{{- if has .name $names }}
- secrets names {{ .name | quote }} twice.
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- $given := list }}
{{- range .Values.environment }}
{{- if has .name $given }}
- environment gives {{ .name }} twice.
{{- end }}
{{- $given = append $given .name }}
{{- end }}
{{- $told := toYaml .Values.config | replace "$${" "" }}
{{- range regexFindAll "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" $told -1 | uniq }}
{{- $name := trimSuffix "}" (trimPrefix "${" .) }}
{{- if not (has $name $given) }}
- config uses {{ . }}, which the pod does not have: give it in `environment`, out of a Secret.
{{- end }}
{{- end }}
{{- end }}

{{- define "mailprobe.contradictions.sources" -}}
{{- range $index, $source := fromYamlArray (include "mailprobe.sources" .) }}
{{- if eq $source.kind "journald" }}
- config.evidence.sources[{{ $index }}] is of kind journald: a pod has no journal and the image no journalctl. Let the mail server's machine send its lines (kind syslog), or run the probe there.
{{- end }}
{{- if and (eq $source.kind "syslog") $.Values.syslogService.enabled }}
{{- if include "mailprobe.deaf" (list $source.listen $.Values.hostNetwork) }}
- config.evidence.sources[{{ $index }}].listen is {{ $source.listen | quote }}: syslogService leads to the pod's own address, where then nobody listens. Leave the host out, as in udp://:5514.
{{- end }}
{{- end }}
{{- end }}
{{- $ports := fromYamlArray (include "mailprobe.syslogPorts" .) }}
{{- if and $ports (not .Values.syslogService.enabled) (not .Values.hostNetwork) }}
- config has a source of kind syslog, and no line finds the way to it: set syslogService.enabled: true (or hostNetwork: true).
{{- end }}
{{- if and .Values.syslogService.enabled (not $ports) }}
- syslogService.enabled is true, and config has no source of kind syslog that it could lead to.
{{- end }}
{{- range $ports }}
{{- if eq (int .port) 0 }}
- config has a syslog source whose port is 0 or comes from a variable: a Service needs to know it.
{{- end }}
{{- end }}
{{- $page := include "mailprobe.listensOn" ((.Values.config.web | default dict).listen | default ":9797") }}
{{- $taken := list (dict "protocol" "TCP" "port" (include "mailprobe.webPort" . | int) "host" $page) }}
{{- $mayShare := and .Values.hostNetwork (not .Values.syslogService.enabled) }}
{{- range $one := $ports }}
{{- $isTaken := false }}
{{- range $taken }}
{{- $apart := and $mayShare .host $one.host (ne .host $one.host) }}
{{- if and (eq .protocol $one.protocol) (eq (int .port) (int $one.port)) (not $apart) }}{{ $isTaken = true }}{{ end }}
{{- end }}
{{- if and (gt (int .port) 0) $isTaken }}
- config has two listeners on port {{ .port }} ({{ .protocol }}), the page's counted (config.web.listen): one would keep the other out, or a Service would lead to one only. Take another port; one without a host listens on every address.
{{- end }}
{{- $taken = append $taken $one }}
{{- end }}
{{- if .Values.hostNetwork }}
{{- range $ports }}
{{- if and (gt (int .port) 0) (lt (int .port) 1024) }}
- config has a syslog source on port {{ .port }}: on the node's network ports below 1024 take a privilege that the pod does not have. Let the senders use a higher one.
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "mailprobe.contradictions.monitoring" -}}
{{- if and .Values.serviceMonitor.enabled .Values.probeResources.enabled }}
- serviceMonitor.enabled and probeResources.enabled are both true: every verdict would be told twice, and every alert with it. Take one.
{{- end }}
{{- if and (eq .Values.scrape.scheme "https") (not (.Values.config.web | default dict).config_file) }}
- scrape.scheme is https, but config.web.config_file is not given: the daemon speaks plain HTTP.
{{- end }}
{{- if and .Values.scrape.basicAuth (not (.Values.config.web | default dict).config_file) }}
- scrape.basicAuth is given, but config.web.config_file is not: the daemon asks nobody for a password.
{{- end }}
{{- if and .Values.scrape.tlsConfig (ne .Values.scrape.scheme "https") }}
- scrape.tlsConfig is given and scrape.scheme is {{ .Values.scrape.scheme }}: set it to https.
{{- end }}
{{- if or .Values.networkPolicy.enabled .Values.probeResources.enabled }}
{{- range $index, $path := .Values.config.paths }}
{{- if contains "${" (toJson (list $path.host $path.endpoints)) }}
- config.paths[{{ $index }}] takes its host or a port from a variable, and {{ ternary "networkPolicy" "probeResources" $.Values.networkPolicy.enabled }} has to name both: write them out.
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.networkPolicy.enabled }}
{{- range fromYamlArray (include "mailprobe.urls" .) }}
{{- if contains "${" (regexReplaceAll "//[^/?#]*@" . "//") }}
- config has the URL {{ . }}, and networkPolicy has to name its host and port: write them out.
{{- end }}
{{- end }}
{{- end }}
{{- range list "serviceMonitor" "probeResources" }}
{{- $scrape := get $.Values . }}
{{- if and $scrape.enabled (gt (include "mailprobe.milliseconds" $scrape.scrapeTimeout | float64) (include "mailprobe.milliseconds" $scrape.interval | float64)) }}
- {{ . }}.scrapeTimeout is {{ $scrape.scrapeTimeout }} and its interval {{ $scrape.interval }}: the operator refuses a scrape that may take longer than its interval, where nobody who installs sees it.
{{- end }}
{{- end }}
{{- $needed := include "mailprobe.longestAnswer" . | float64 }}
{{- with .Values.probeResources }}
{{- if and .enabled (lt (include "mailprobe.milliseconds" .scrapeTimeout | float64) $needed) }}
- probeResources.scrapeTimeout is {{ .scrapeTimeout }}, and an answer may take {{ divf $needed 1000 }}s (config.timeouts.session, as long again where a message is read back, then evidence, or after a failure two control connections and its cause): Prometheus would give up on just those that say what is broken. Make it {{ divf $needed 1000 | ceil }}s or more, its interval too, or the timeouts shorter.
{{- end }}
{{- end }}
{{- end }}

{{- define "mailprobe.contradictions.rules" -}}
{{- if .Values.prometheusRule.enabled }}
{{- $paces := dict }}
{{- if not .Values.probeResources.enabled }}{{ $_ := set $paces "config.schedule.interval" (.Values.config.schedule | default dict).interval }}{{ end }}
{{- if .Values.probeResources.enabled }}{{ $_ := set $paces "probeResources.interval" .Values.probeResources.interval }}{{ end }}
{{- with .Values.serviceMonitor }}
{{- if and .enabled (gt (include "mailprobe.milliseconds" .interval | float64) 120000.0) }}
- serviceMonitor.interval is {{ .interval }}, and the alerts of prometheusRule want a daemon's metrics every 2m or more often: a scrape that fails would take its vantage's vote. Make it 2m or less; sessions may be 5m apart all the same.
{{- end }}
{{- end }}
{{- range $name, $pace := $paces }}
{{- if and $pace (gt (include "mailprobe.milliseconds" $pace | float64) 300000.0) }}
- {{ $name }} is {{ $pace }}, and the alerts of prometheusRule want sessions every 5m or more often: above it they come late, or not at all. Make it 5m or less.
{{- end }}
{{- end }}
{{- end }}
{{- $files := dict "prometheusRule" (list "files/mailprobe.rules.yaml" "groups:") "maintenanceRule" (list "files/maintenance.rules.yaml" "groups:") "dashboard" (list "files/mailprobe.json" "{") }}
{{- range $value, $file := $files }}
{{- if and (get (get $.Values $value) "enabled") (not (contains (last $file) ($.Files.Get (first $file)))) }}
- {{ $value }}.enabled is true, and this copy of the chart lacks {{ first $file }}: it is a symbolic link in the repository, and whatever fetched the chart has dropped it. Use a packaged chart (helm package deploy/helm/mailprobe).
{{- end }}
{{- end }}
{{- end }}
