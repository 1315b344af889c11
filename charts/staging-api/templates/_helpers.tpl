{{- define "staging-api.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "staging-api.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Labels that select the pods of a part: (dict "root" $ "part" "api"). */}}
{{- define "staging-api.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "staging-api.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "staging-api.serviceAccount" -}}
{{- .Values.serviceAccount.existing | default (include "staging-api.name" .) -}}
{{- end }}

{{- define "staging-api.claim" -}}
{{- .Values.store.volume.existingClaim | default (printf "%s-store" (include "staging-api.name" .)) -}}
{{- end }}

{{- /* A number as a process reads it: Helm would write 1e+06 for a million. */}}
{{- define "staging-api.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{- /* Pods that there are at least, of a part's values. */}}
{{- define "staging-api.leastPods" -}}
{{- ternary .autoscaling.minReplicas .replicas .autoscaling.enabled | int -}}
{{- end }}

{{- /* What no schema can say: values that need each other. */}}
{{- define "staging-api.check" -}}
{{- if not .Values.database.existingSecret -}}
{{- fail "database.existingSecret: name a Secret whose key `url` is the database URL, for example\n  kubectl create secret generic staging-db --from-literal=url=postgresql://user:password@host/staging\n  --set database.existingSecret=staging-db" -}}
{{- end -}}
{{- with .Values.auth -}}
{{- if and (eq .mode "none") (not .noneAnywhere) -}}
{{- fail "auth.mode is none: anybody who reaches a pod could stage and delete. Choose tokens, oidc or keystone; or, if that is meant, set auth.noneAnywhere=true" -}}
{{- end -}}
{{- if and (eq .mode "tokens") (not .tokens.existingSecret) -}}
{{- fail "auth.tokens.existingSecret: name a Secret with the file that `staging-api token NAME --role stager --file tokens.yaml` writes" -}}
{{- end -}}
{{- if and (eq .mode "oidc") (or (not .oidc.issuer) (not .oidc.audience)) -}}
{{- fail "auth.oidc.issuer and auth.oidc.audience must both be set when auth.mode is oidc" -}}
{{- end -}}
{{- if and (eq .mode "keystone") (not .keystone.existingSecret) -}}
{{- fail "auth.keystone.existingSecret: name a Secret with the middleware's keystone.conf" -}}
{{- end -}}
{{- if and (has .mode (list "oidc" "keystone")) (not .roleRules) -}}
{{- fail "auth.roleRules is empty: nobody would have a role; for example --set 'auth.roleRules={viewer:*,stager:groups=ci}'" -}}
{{- end -}}
{{- end -}}
{{- with .Values.signing -}}
{{- if ne (empty .existingSecret) (empty .fingerprint) -}}
{{- fail "signing.existingSecret and signing.fingerprint go together: a Secret whose key `signing.asc` is what `gpg --armor --export-secret-keys FINGERPRINT` writes, and that fingerprint" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.store.type "url") (not .Values.store.url) -}}
{{- fail "store.url must be set when store.type is url" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host must be set when ingress.enabled is true" -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{- with get (include "staging-api.derived" $ | fromYaml) $name -}}
{{- fail (printf "settings.%s: the chart derives more than this variable from it; set %s instead" $name .) -}}
{{- end -}}
{{- end -}}
{{- range $part := list "api" "worker" -}}
{{- $pods := include "staging-api.leastPods" (index $.Values $part) | int -}}
{{- $left := int $.Values.podDisruptionBudget.minAvailable -}}
{{- if and (gt $pods 1) (ge $left $pods) -}}
{{- fail (printf "podDisruptionBudget.minAvailable (%d) is as many as there are pods of %s (%d): no node could be drained" $left $part $pods) -}}
{{- end -}}
{{- with (index $.Values $part).autoscaling -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "%s.autoscaling: minReplicas (%d) is more than maxReplicas (%d)" $part (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Variables that the chart sets itself, or derives manifests from, and the values that say so. */}}
{{- define "staging-api.derived" -}}
ANONYMOUS_ROLES: auth.anonymousRoles
AUTH: auth.mode
AUTH_NONE_ANYWHERE: auth.noneAnywhere
BIND: service.port and ingress (pods always listen on 8080)
CONCURRENCY_PER_CALLER: limits.concurrencyPerCaller
DATABASE_DIRECT_URL: database.directUrlKey
DATABASE_POOL_SIZE: database.poolSize
DATABASE_URL: database.existingSecret and database.urlKey
DRAIN_SECONDS: drainSeconds
HOME: store (pods always use /var/lib/staging-api)
KEYSTONE_CONFIG: auth.keystone.existingSecret
LEASE_SECONDS: leaseSeconds
LOG_FORMAT: nothing (pods always write JSON)
METRICS_DIR: nothing (each pod makes its own)
OIDC_AUDIENCE: auth.oidc.audience
OIDC_CA_FILE: auth.oidc.cluster
OIDC_FETCH_TOKEN_FILE: auth.oidc.cluster
OIDC_ISSUER: auth.oidc.issuer
OIDC_JWKS_URL: auth.oidc.jwksUrl
OIDC_NAME_CLAIM: auth.oidc.nameClaim
PROBES_BIND: nothing (probes always listen on 8081)
POSTGRES_BINARIES: database.existingSecret (pods start no database)
RATE_PER_CALLER: limits.ratePerCaller
ROLE_RULES: auth.roleRules
SHUTDOWN_SECONDS: shutdownSeconds
SIGNING_HOME: signing.existingSecret
SIGNING_KEY: signing.fingerprint
SOURCES: sources
STORE: store
THREADS: api.threads
TOKENS_FILE: auth.tokens
TRACES_ENDPOINT: monitoring.tracesEndpoint
WORKERS: api.processes
WORKER_BIND: nothing (probes always listen on 8081)
WORKER_JOBS: worker.jobs
WORKER_JOBS_PER_CALLER: worker.jobsPerCaller
{{- end }}

{{- define "staging-api.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.runAsUser }}
runAsGroup: {{ int64 .Values.runAsUser }}
fsGroup: {{ int64 .Values.runAsUser }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "staging-api.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* From which registry, and on which nodes: the same for every pod of the chart. */}}
{{- define "staging-api.placing" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Size of the folder in which a pod keeps what it is just staging, when the store is no volume. */}}
{{- define "staging-api.homeSize" -}}
{{- ternary .Values.store.spoolSize "1Gi" (eq .Values.store.type "url") -}}
{{- end }}

{{- define "staging-api.databaseEnv" -}}
{{- with .Values.database }}
- name: STAGING_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .urlKey }}
{{- if .directUrlKey }}
- name: STAGING_DATABASE_DIRECT_URL
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .directUrlKey }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A pod of API or worker: (dict "root" $ "part" "api"). */}}
{{- define "staging-api.pod" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "staging-api.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .part }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Pods are replaced when a setting changes.
    checksum/config: {{ include (print .root.Template.BasePath "/configmap.yaml") .root | sha256sum }}
spec:
  serviceAccountName: {{ include "staging-api.serviceAccount" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add $values.preStopSeconds $values.drainSeconds $values.shutdownSeconds 10 }}
  securityContext:
    {{- include "staging-api.podSecurity" .root | nindent 4 }}
  {{- include "staging-api.placing" .root | nindent 2 }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "staging-api.selector" (dict "root" $.root "part" $.part) | nindent 10 }}
    {{- end }}
  {{- if $values.signing.existingSecret }}
  initContainers:
    # gpg wants a home directory that it may write and that is its user's alone; no Secret is that.
    - name: signing
      image: {{ include "staging-api.image" .root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      command: [/bin/sh, -euc]
      args:
        - |
          umask 077
          mkdir -p /run/signing/gnupg
          gpg --batch --homedir /run/signing/gnupg --import /etc/signing/{{ $values.signing.key }}
          gpgconf --homedir /run/signing/gnupg --kill gpg-agent
      securityContext:
        {{- include "staging-api.containerSecurity" .root | nindent 8 }}
      resources:
        requests: {cpu: 10m, memory: 32Mi}
        limits: {memory: 128Mi}
      volumeMounts:
        - {name: signing, mountPath: /etc/signing, readOnly: true}
        - {name: gnupg, mountPath: /run/signing}
  {{- end }}
  containers:
    - name: {{ .part }}
      image: {{ include "staging-api.image" .root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [{{ .part }}]
      securityContext:
        {{- include "staging-api.containerSecurity" .root | nindent 8 }}
      envFrom:
        - configMapRef:
            name: {{ include "staging-api.name" .root }}
        {{- if and (eq $values.store.type "url") $values.store.existingSecret }}
        - secretRef:
            name: {{ $values.store.existingSecret }}
        {{- end }}
      env:
        {{- include "staging-api.databaseEnv" .root | nindent 8 }}
      ports:
        {{- if eq .part "api" }}
        - {name: http, containerPort: 8080}
        {{- end }}
        # Of its own, with threads of its own: work that fills the other cannot silence it.
        - {name: probes, containerPort: 8081}
      startupProbe:
        httpGet: {path: /livez, port: probes}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /livez, port: probes}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: probes}
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 2
      {{- if $values.preStopSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $values.preStopSeconds }}
      {{- end }}
      resources:
        {{- /* The scheduler has to know of the disk that the folder may fill; a value given wins. */}}
        {{- $spool := dict "requests" (dict "ephemeral-storage" (include "staging-api.homeSize" .root)) }}
        {{- toYaml (mergeOverwrite $spool (deepCopy (index $values .part).resources)) | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: home, mountPath: /var/lib/staging-api}
        {{- if eq $values.store.type "volume" }}
        - {name: store, mountPath: /srv/staging}
        {{- end }}
        {{- if $values.signing.existingSecret }}
        - {name: gnupg, mountPath: /run/signing}
        {{- end }}
        {{- include "staging-api.authMounts" .root | nindent 8 }}
        {{- with $values.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    - name: home
      emptyDir: {sizeLimit: {{ include "staging-api.homeSize" .root }}}
    {{- if eq $values.store.type "volume" }}
    - name: store
      persistentVolumeClaim:
        claimName: {{ include "staging-api.claim" .root }}
    {{- end }}
    {{- if $values.signing.existingSecret }}
    - name: signing
      secret:
        secretName: {{ $values.signing.existingSecret }}
        defaultMode: 0440
    - name: gnupg
      emptyDir: {medium: Memory, sizeLimit: 16Mi}
    {{- end }}
    {{- include "staging-api.authVolumes" .root | nindent 4 }}
    {{- with $values.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- /* Folders, not files: only so does a pod see a Secret that changed. */}}
{{- define "staging-api.authMounts" -}}
{{- if has .Values.auth.mode (list "tokens" "keystone") }}
- {name: auth, mountPath: /etc/staging-api, readOnly: true}
{{- else if and (eq .Values.auth.mode "oidc") .Values.auth.oidc.cluster }}
- {name: auth, mountPath: /etc/staging-api, readOnly: true}
{{- end }}
{{- end }}

{{- define "staging-api.authVolumes" -}}
{{- with .Values.auth }}
{{- if eq .mode "tokens" }}
- name: auth
  secret:
    secretName: {{ .tokens.existingSecret }}
    defaultMode: 0440
{{- else if eq .mode "keystone" }}
- name: auth
  secret:
    secretName: {{ .keystone.existingSecret }}
    defaultMode: 0440
{{- else if and (eq .mode "oidc") .oidc.cluster }}
- name: auth
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - {key: ca.crt, path: ca.crt}
{{- end }}
{{- end }}
{{- end }}
