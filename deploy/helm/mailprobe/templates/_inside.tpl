{{- /*
Whether the probe has been put into the cluster that it probes, where kube-proxy takes short cuts that no client takes.
Known without asking: what is read with the pod's own account is of this cluster, and so is what a path's host says to be
(NAME.NAMESPACE.svc). Asked of the cluster (lookup, which finds nothing in `helm template`): a path leads to one of its
Services, by an address or a short name, or to one of its nodes.
*/ -}}
{{- define "mailprobe.insideWarning" -}}
{{- $reasons := list }}
{{- with (.Values.config.topology | default dict).kubernetes }}
{{- if not .kubeconfig }}
{{- $reasons = append $reasons (printf "config.topology.kubernetes is read with the pod's own account: the Service %s/%s is of this cluster." .namespace .service) }}
{{- end }}
{{- end }}
{{- range $index, $source := fromYamlArray (include "mailprobe.sources" .) }}
{{- if and (eq .kind "kubernetes") (not .kubeconfig) }}
{{- $reasons = append $reasons (printf "config.evidence.sources[%d] is read with the pod's own account: the mail server's pods (%s in %s) are of this cluster." $index .selector .namespace) }}
{{- end }}
{{- end }}
{{- $held := dict }}
{{- if .Values.lookup }}
{{- range (lookup "v1" "Service" "" "").items }}
{{- $called := printf "the Service %s/%s" .metadata.namespace .metadata.name }}
{{- $status := (.status | default dict).loadBalancer | default dict }}
{{- $_ := set $held (printf "%s.%s" .metadata.name .metadata.namespace) $called }}
{{- if eq .metadata.namespace $.Release.Namespace }}{{ $_ := set $held .metadata.name $called }}{{ end }}
{{- range $status.ingress }}{{ $_ := set $held (.ip | default .hostname | default "" | lower) $called }}{{ end }}
{{- range .spec.externalIPs }}{{ $_ := set $held . $called }}{{ end }}
{{- range .spec.clusterIPs }}{{ $_ := set $held . $called }}{{ end }}
{{- end }}
{{- range (lookup "v1" "Node" "" "").items }}
{{- $called := printf "the node %s" .metadata.name }}
{{- range .status.addresses }}{{ $_ := set $held (lower .address) $called }}{{ end }}
{{- end }}
{{- end }}
{{- range .Values.config.paths }}
{{- $host := lower .host | trimSuffix "." }}
{{- if regexMatch "^([^.]+[.]){2,}(svc|pod)([.]|$)" $host }}
{{- $reasons = append $reasons (printf "path %s leads to %s, a name that only the DNS of this cluster knows." .name .host) }}
{{- else if hasKey $held $host }}
{{- $reasons = append $reasons (printf "path %s leads to %s, which is %s of this cluster." .name .host (get $held $host)) }}
{{- end }}
{{- end }}
{{- with $reasons }}

WARNING: the probe seems to run inside the cluster that it probes.
{{- range . }}
  - {{ . }}
{{- end }}
kube-proxy sends traffic from pods and nodes past the announcement to any endpoint, and masquerades it: no verdict from here
is about the clients' way in, and a silent drop that every client suffers is not seen at all. Install the probe in another
cluster or on a machine outside, and only its account here (accountOnly: true). docs/helm.md has the two places that work.
{{- end }}
{{- end }}
