{{/* The pod of a workload: metadata and spec. .configMap is what is mounted at /etc/onhook, .job whether it runs once. */}}
{{- define "onhook.pod" -}}
{{- $root := .root -}}
{{- $w := .workload -}}
{{- $v := $w.values -}}
{{- $admin := include "onhook.port" $root.Values.config.admin.listen -}}
metadata:
  labels:
    {{- include "onhook.selector" (dict "root" $root "name" $w.name) | nindent 4 }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ toJson $w.reads | sha256sum }}
    {{- with $v.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- if .job }}
  restartPolicy: Never
  {{- else }}
  terminationGracePeriodSeconds: {{ int $v.terminationGracePeriodSeconds }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: {{ $w.image }}
      image: {{ printf "%s/%s:%s" $root.Values.image.prefix $w.image ($root.Values.image.tag | default $root.Chart.AppVersion) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{ toJson $w.args }}
      {{- if or $v.env $v.secretEnv }}
      env:
        {{- range $name, $value := $v.env }}
        - {name: {{ $name }}, value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}}
        {{- end }}
        {{- range $name, $from := $v.secretEnv }}
        - name: {{ $name }}
          valueFrom: {secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key }}}}
        {{- end }}
      {{- end }}
      resources:
        {{- toYaml $v.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      {{- if not .job }}
      ports:
        {{- range $name, $port := $w.ports }}
        - {name: {{ $name }}, containerPort: {{ $port }}, protocol: TCP}
        {{- end }}
        - {name: admin, containerPort: {{ $admin }}, protocol: TCP}
      startupProbe: # five minutes: a spool that a crash has left is read first
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 100
      livenessProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 5
        timeoutSeconds: 4 # a check has two seconds, and says what failed
        failureThreshold: 2
      {{- with $v.preStopSeconds }}
      lifecycle:
        preStop: {sleep: {seconds: {{ int . }}}}
      {{- end }}
      {{- end }}
      volumeMounts:
        - {name: config, mountPath: /etc/onhook, readOnly: true}
        {{- range $folder, $_ := $v.secretMounts }}
        - {name: secret-{{ $folder }}, mountPath: /run/secrets/{{ $folder }}, readOnly: true}
        {{- end }}
        {{- with $w.spool }}
        - {name: spool, mountPath: {{ . }}}
        {{- end }}
        {{- with $v.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ .configMap }}}
    {{- range $folder, $secret := $v.secretMounts }}
    - name: secret-{{ $folder }}
      secret: {secretName: {{ $secret }}, defaultMode: 0440}
    {{- end }}
    {{- with $v.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .job }}
  {{- with $v.spreadOver }}
  topologySpreadConstraints:
    {{- range . }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "onhook.selector" (dict "root" $root "name" $w.name) | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- end }}
{{- end }}
