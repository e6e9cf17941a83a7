{{- define "onhook.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end }}

{{- define "onhook.fullname" -}}
{{- $name := include "onhook.name" . -}}
{{- .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* What selects the pods of a workload, or with "" those of all. */}}
{{- define "onhook.selector" -}}
app.kubernetes.io/name: {{ include "onhook.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .name }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "onhook.labels" -}}
{{ include "onhook.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The port of an address to listen on. */}}
{{- define "onhook.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end }}

{{/*
Every process that an installation runs, as JSON, one entry each; all templates go through it:

  name       of the component; its objects are <fullname>-<name>
  image      and args: what runs
  values     defaults, overlaid with the service's own
  reads      the sections of config that it reads: when they change it is started anew
  reaches    where it connects to: nats, database, internet
  ports      on which others connect to it
  consumers  of NATS whose lag is the worker's
  scaling    min, max and their measures; none for what is one pod
*/}}
{{- define "onhook.workloads" -}}
{{- $v := .Values -}}
{{- $config := $v.config -}}
{{- $file := list "--config" "/etc/onhook/onhook.yaml" -}}
{{- $prefix := ($config.nats).prefix | default "" -}}
{{- $all := list -}}

{{- $values := mergeOverwrite (deepCopy $v.defaults) (deepCopy $v.ingress) -}}
{{- if le (int $values.terminationGracePeriodSeconds) (int (add $values.preStopSeconds 10)) -}}
{{- fail "ingress.terminationGracePeriodSeconds: give it more than preStopSeconds and 10 s of ack budget, or deliveries are cut off unanswered" -}}
{{- end -}}
{{- $all = append $all (dict "name" "ingress" "image" "ingress" "args" $file "values" $values "reads" (pick $config "sources" "ingress")
  "reaches" (list "nats") "ports" (dict "http" (include "onhook.port" $config.ingress.listen)) "scaling" $values.scaling
  "spool" (($config.ingress).spool).dir) -}}

{{- $values = mergeOverwrite (deepCopy $v.defaults) (deepCopy $v.decoder) -}}
{{- $all = append $all (dict "name" "decoder" "image" "decoder" "args" $file "values" $values "reads" (pick $config "decoder")
  "reaches" (list "nats") "ports" dict "scaling" $values.scaling
  "consumers" (list (list "WEBHOOKS" "decoder") (list "REDRIVE" "decoder"))) -}}

{{- $values = mergeOverwrite (deepCopy $v.defaults) (deepCopy $v.storage) -}}
{{- $all = append $all (dict "name" "storage" "image" "storage" "args" $file "values" $values "reads" (pick $config "storage")
  "reaches" (list "nats" "database") "ports" dict "scaling" $values.scaling
  "consumers" (list (list "CALLS" "storage") (list "OUTCOMES" "outcomes") (list "REDRIVE" "storage") (list "REDRIVE" "outcomes"))) -}}

{{- range $sink := keys ($v.crm.sinks | default dict) | sortAlpha -}}
{{- if not (hasKey ($config.crm | default dict) $sink) -}}
{{- fail (printf "crm.sinks.%s: there is no config.crm.%s" $sink $sink) -}}
{{- end -}}
{{- end -}}
{{- range $sink, $of := $config.crm -}}
{{- $name := printf "crm-%s" $sink -}}
{{- $values = mergeOverwrite (deepCopy $v.defaults) (deepCopy (omit $v.crm "sinks")) (deepCopy (index ($v.crm.sinks | default dict) $sink | default dict)) -}}
{{- $scaling := mergeOverwrite (dict "max" (index $values.scaling.maxByKind $of.kind)) (omit $values.scaling "maxByKind") -}}
{{- $all = append $all (dict "name" $name "image" "crm" "args" (concat $file (list "--only" $sink)) "values" $values
  "reads" (dict $sink $of) "reaches" (list "nats" "internet") "ports" dict "scaling" $scaling
  "consumers" (list (list "CALLS" $name) (list "REDRIVE" $name))) -}}
{{- end -}}

{{- if $v.ops.enabled -}}
{{- $values = mergeOverwrite (deepCopy $v.defaults) (deepCopy $v.ops) -}}
{{- $all = append $all (dict "name" "ops" "image" "onhook" "args" (concat (list "ops") $file) "values" $values
  "reads" (dict "ops" $config.ops "storage" $config.storage "crm" (keys ($config.crm | default dict) | sortAlpha))
  "reaches" (list "nats" "database") "ports" (dict "ops" (include "onhook.port" $config.ops.listen))) -}}
{{- end -}}

{{- $full := include "onhook.fullname" . -}}
{{- range $w := $all -}}
{{- $_ := set $w "fullname" (printf "%s-%s" $full $w.name) -}}
{{- if gt (len $w.fullname) 52 -}}
{{- fail (printf "%s is too long for the names that Kubernetes makes of it (52 letters at most); give a shorter fullnameOverride, or rename the sink" $w.fullname) -}}
{{- end -}}
{{- $_ := set $w "kind" (ternary "StatefulSet" "Deployment" (not (empty $w.spool))) -}}
{{- $_ := set $w "reads" (merge (dict "of" $w.reads) (pick $config "nats" "log" "admin")) -}}
{{- $own := list -}}
{{- range $c := $w.consumers -}}
{{- $own = append $own (dict "stream" (printf "%s%s" $prefix (first $c)) "consumer" (last $c)) -}}
{{- end -}}
{{- $_ := set $w "consumers" $own -}}
{{- $by := "none" -}}
{{- if $w.scaling -}}
{{- $by = ternary (ternary "none" "hpa" (eq $v.scaling.workers "none")) $v.scaling.workers (empty $own) -}}
{{- if le (int $w.scaling.max) (int $w.scaling.min) -}}{{- $by = "none" -}}{{- end -}}
{{- end -}}
{{- $_ := set $w "scaledBy" $by -}}
{{- end -}}
{{- toJson $all -}}
{{- end }}

{{/* Peers of a NetworkPolicy, as its key to or from; without them it is anywhere. */}}
{{- define "onhook.peers" -}}
{{- if .peers -}}
{{ .key }}:
  {{- toYaml .peers | nindent 2 }}
{{- else -}}
# {{ .key }} anywhere
{{- end }}
{{- end }}
