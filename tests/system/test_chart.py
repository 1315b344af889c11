"""The chart as rendered by Helm: valid for Kubernetes, hard to misuse, safe to run."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate
import pytest
import yaml

from staging_api.publishing.signing import SignedRelease, SigningKey, sign
from staging_api.publishing.signing_keys import checked
from staging_api.settings import Settings
from staging_api.store.bucket import Bucket
from tests.charts import (
    CHART,
    KUBERNETES,
    VALUE_FILES,
    helm,
    render,
    render_again,
    schemas_read_once,
)
from tests.keys import signing_key, stop_agent

pytestmark = pytest.mark.system

LEAST = CHART / "ci" / "tokens.yaml"
#: Kinds that are not part of Kubernetes itself, so that its schema lacks them.
OPERATOR_KINDS = {"PodMonitor", "PrometheusRule"}
#: Volume types that the restricted Pod Security Standard allows.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "projected", "secret"}
VOLUMES |= {"persistentVolumeClaim"}
LONG_RUNNING = {"Deployment"}

each_file = pytest.mark.parametrize("values", VALUE_FILES, ids=lambda path: path.stem)


def pods(documents: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield every manifest that creates pods, with its pod template."""
    for document in documents:
        if document["kind"] in {"Deployment", "Job"}:
            yield document, document["spec"]["template"]["spec"]
        elif document["kind"] == "Pod":
            yield document, document["spec"]


def test_there_are_at_least_four_value_files():
    assert len(VALUE_FILES) >= 4


@each_file
def test_lint_finds_nothing(values: Path):
    done = helm("lint", "--strict", CHART, "-f", values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def _schemas() -> Iterator[None]:
    with schemas_read_once():
        yield


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.usefixtures("_schemas")
@each_file
def test_manifests_are_valid_for_kubernetes(values: Path, version: str):
    """Strict: a field that Kubernetes does not know is an error."""
    for document in render("-f", values):
        if document["kind"] not in OPERATOR_KINDS:
            kubernetes_validate.validate(document, version, strict=True)


@each_file
def test_every_pod_meets_the_restricted_pod_security_standard(values: Path):
    for document, pod in pods(render("-f", values)):
        name = document["metadata"]["name"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", name
        for volume in pod.get("volumes", []):
            assert set(volume) - {"name"} <= VOLUMES, name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert not security.get("privileged"), name
            assert all("hostPort" not in port for port in container.get("ports", [])), name


@each_file
def test_every_container_is_bounded_and_cannot_write_its_image(values: Path):
    for document, pod in pods(render("-f", values)):
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert re.search(r"@sha256:[0-9a-f]{64}$|:\d[\w.]+$", container["image"]), document


@each_file
def test_a_pod_has_the_time_to_drain_and_has_probes(values: Path):
    documents = render("-f", values)
    (config,) = [d["data"] for d in documents if d["kind"] == "ConfigMap" and "data" in d][:1]
    for document, pod in pods(documents):
        if document["kind"] not in LONG_RUNNING:
            continue
        (container,) = pod["containers"]
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        needed = sleep.get("seconds", 0) + sum(
            int(config[f"STAGING_{name}_SECONDS"]) for name in ("DRAIN", "SHUTDOWN")
        )
        assert pod["terminationGracePeriodSeconds"] > needed
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        ports = {port["name"] for port in container["ports"]}
        assert container["readinessProbe"]["httpGet"]["port"] in ports


@each_file
def test_selectors_find_the_pods_that_they_mean(values: Path):
    documents = render("-f", values)
    labels = {
        d["metadata"]["name"]: d["spec"]["template"]["metadata"]["labels"]
        for d in documents
        if d["kind"] in LONG_RUNNING
    }
    selectors = [
        (d["kind"], spec.get("selector") or spec.get("podSelector"))
        for d in documents
        if d["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"}
        for spec in [d["spec"]]
    ]
    assert selectors
    for kind, selector in selectors:
        wanted = selector.get("matchLabels", selector).items()
        found = [name for name, own in labels.items() if wanted <= own.items()]
        assert len(found) == 1, (kind, selector)


@each_file
def test_every_variable_of_a_pod_is_a_setting_and_no_secret_is_written_out(values: Path):
    known = {f"STAGING_{name.upper()}" for name in Settings.model_fields}
    documents = render("-f", values)
    for document, pod in pods(documents):
        for variable in [v for c in pod["containers"] for v in c.get("env", [])]:
            assert variable["name"] in known, document["metadata"]["name"]
            assert ("URL" in variable["name"]) == ("valueFrom" in variable)
    (config,) = [d["data"] for d in documents if "STAGING_BIND" in d.get("data", {})]
    assert set(config) <= known
    Settings.from_env(**{k.removeprefix("STAGING_").lower(): v for k, v in config.items() if v})
    assert "Secret" not in {d["kind"] for d in documents}


def test_every_variable_that_the_chart_sets_is_refused_among_the_settings():
    """A variable set twice silently takes its last value, and values derived from it are wrong."""
    taken: set[str] = set()
    for values in VALUE_FILES:
        documents = render("-f", values)
        settings = yaml.safe_load(values.read_text()).get("settings", {})
        given = {f"STAGING_{name}" for name in settings}
        set_by_it = {name for d in documents for name in d.get("data", ()) if "STAGING_" in name}
        taken |= set_by_it - given
        for _, pod in pods(documents):
            taken |= {v["name"] for c in pod["containers"] for v in c.get("env", [])}
    free = {"STAGING_WAIT_CAP_SECONDS"}
    assert len(taken - free) > 20
    for name in sorted(taken - free):
        done = helm(
            *("template", "release", CHART, "-f", LEAST),
            *("--set-string", f"settings.{name.removeprefix('STAGING_')}=1"),
        )
        assert done.returncode != 0, name
        assert f"settings.{name.removeprefix('STAGING_')}: " in done.stderr


def test_every_pod_comes_from_the_private_registry_and_goes_to_the_chosen_nodes():
    values = CHART / "ci" / "production.yaml"
    found = list(pods(render("-f", values)))
    assert {document["kind"] for document, _ in found} == {"Deployment", "Job", "Pod"}
    for document, pod in found:
        name = document["metadata"]["name"]
        assert pod["imagePullSecrets"] == [{"name": "registry"}], name
        assert pod["nodeSelector"] == {"disktype": "ssd"}, name
        assert [toleration["key"] for toleration in pod["tolerations"]] == ["dedicated"], name
        assert pod["priorityClassName"] == "high", name


@each_file
def test_a_pod_requests_the_disk_that_it_may_fill(values: Path):
    for document, pod in pods(render("-f", values)):
        if document["kind"] in LONG_RUNNING:
            (home,) = [v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if v["name"] == "home"]
            (container,) = pod["containers"]
            assert container["resources"]["requests"]["ephemeral-storage"] == home


def test_a_request_of_disk_that_is_given_wins():
    given = ("--set", "worker.resources.requests.ephemeral-storage=7Gi")
    found = {
        document["metadata"]["name"]: pod["containers"][0]["resources"]["requests"]
        for document, pod in pods(render("-f", LEAST, *given))
        if document["kind"] in LONG_RUNNING
    }
    assert found["release-worker"]["ephemeral-storage"] == "7Gi"
    assert found["release-worker"]["cpu"] == "500m"
    assert found["release-api"]["ephemeral-storage"] == "1Gi"


def admits(policy: dict[str, Any], port: str, namespace: str, labels: dict[str, str]) -> bool:
    """Return whether a NetworkPolicy admits a pod; knows only rule forms of the chart."""
    own = {"kubernetes.io/metadata.name": namespace}
    for rule in policy["spec"]["ingress"]:
        peers = rule.get("from", [{}])
        if port not in {p["port"] for p in rule["ports"]}:
            continue
        for peer in peers:
            assert set(peer) <= {"namespaceSelector", "podSelector"}
            chosen = peer.get("namespaceSelector", {"matchLabels": {} if not peer else RELEASE})
            by_name = chosen.get("matchLabels", {}).items() <= own.items()
            if by_name and peer.get("podSelector", {}).get("matchLabels", {}).items() <= (
                labels.items()
            ):
                return True
    return False


#: Namespace into which helm renders by default.
RELEASE = {"kubernetes.io/metadata.name": "default"}


def test_a_closed_api_still_lets_in_prometheus_and_the_test_pod():
    documents = render("-f", CHART / "ci" / "production.yaml")
    policies = {
        d["metadata"]["labels"]["app.kubernetes.io/component"]: d
        for d in documents
        if d["kind"] == "NetworkPolicy"
    }
    (test,) = [d for d in documents if d["kind"] == "Pod"]
    metrics = {
        d["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]: endpoint["port"]
        for d in documents
        if d["kind"] == "PodMonitor"
        for endpoint in d["spec"]["podMetricsEndpoints"]
    }
    for part, policy in policies.items():
        assert admits(policy, metrics[part], "monitoring", {}), part
    api = policies["api"]
    assert admits(api, "http", "ingress-nginx", {})
    assert admits(api, "http", "default", test["metadata"]["labels"])
    assert not admits(api, "http", "default", {})
    assert not admits(api, "http", "monitoring", {})
    assert not admits(api, "http", "elsewhere", test["metadata"]["labels"])


def test_metrics_can_be_closed_too():
    chosen = (
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name"
    )
    documents = render("-f", LEAST, "--set", f"{chosen}=monitoring")
    policies = [d for d in documents if d["kind"] == "NetworkPolicy"]
    assert len(policies) == 2
    for policy in policies:
        assert admits(policy, "probes", "monitoring", {})
        assert not admits(policy, "probes", "elsewhere", {})


def test_pods_may_ask_the_dns_cache_of_their_node_and_no_other_link_local_address():
    documents = render("-f", LEAST)
    policies = [d for d in documents if d["kind"] == "NetworkPolicy"]
    assert len(policies) == 2
    for policy in policies:
        anywhere, cache = policy["spec"]["egress"]
        assert "169.254.0.0/16" in anywhere["to"][0]["ipBlock"]["except"]
        assert cache["to"] == [{"ipBlock": {"cidr": "169.254.20.10/32"}}]
        assert cache["ports"] == [
            {"port": 53, "protocol": "UDP"},
            {"port": 53, "protocol": "TCP"},
        ]


def test_pods_may_be_let_to_where_the_platform_gives_identities():
    documents = render("-f", LEAST, "--set", "networkPolicy.metadata={169.254.169.254/32}")
    policies = [d for d in documents if d["kind"] == "NetworkPolicy"]
    assert len(policies) == 2
    for policy in policies:
        wanted = {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}]}
        assert policy["spec"]["egress"][2:] == [wanted]


def test_the_migration_runs_before_pods_and_may_run_again():
    (job,) = [d for d in render("-f", LEAST) if d["kind"] == "Job"]
    annotations = job["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "before-hook-creation" in annotations["helm.sh/hook-delete-policy"]
    pod = job["spec"]["template"]["spec"]
    # No object of the release exists yet.
    assert "serviceAccountName" not in pod
    assert "envFrom" not in pod["containers"][0]


def test_pods_are_replaced_when_a_setting_changes():
    def checksums(*arguments: str) -> set[str]:
        return {
            d["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for d in render_again("-f", LEAST, *arguments)
            if d["kind"] == "Deployment"
        }

    assert checksums() == checksums()
    assert checksums().isdisjoint(checksums("--set", "leaseSeconds=20"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("database.existingSecret=", "database.existingSecret: name a Secret whose key"),
        ("auth.mode=none", "auth.noneAnywhere=true"),
        ("auth.mode=basic", "auth.mode|/auth/mode"),
        ("auth.tokens.existingSecret=", "staging-api token NAME"),
        ("auth.mode=oidc", "auth.oidc.issuer and auth.oidc.audience must both be set"),
        ("auth.mode=keystone", "keystone.conf"),
        ("auth.roleRules={king:*}", "roleRules"),
        ("sources={ftp://builds/}", "sources"),
        ("store.type=url", "store.url must be set"),
        ("store.type=disk", "store"),
        ("store.url=ftp://bucket", "url"),
        ("api.replicas=0", "replicas"),
        ("api.replicas=three", "replicas"),
        ("api.replcias=3", "replcias"),
        ("image.tag=latest", "tag"),
        ("image.digest=sha256:abc", "digest"),
        ("shutdownSeconds=1", "shutdownSeconds"),
        ("settings.wait_cap_seconds=1", "wait_cap_seconds"),
        ("settings.SHUTDOWN_SECONDS=90", "settings.SHUTDOWN_SECONDS: .* set shutdownSeconds"),
        ("settings.DATABASE_URL=postgresql://db/x", "set database.existingSecret"),
        ("settings.BIND=0.0.0.0:80", "settings.BIND"),
        ("networkPolicy.dns={localhost}", "dns"),
        ("ingress.enabled=true", "ingress.host must be set"),
        ("api.autoscaling.minReplicas=20", "minReplicas \\(20\\) is more than maxReplicas"),
        ("runAsUser=0", "runAsUser"),
        ("settings.STAGING_PACKS=auto", "STAGING_PACKS"),
        ("ingress.host=https://staging.example.org/", "host"),
        ("podDisruptionBudget.minAvailable=2", "minAvailable .2. is as many as there are pods"),
    ],
)
def test_a_wrong_value_is_refused_with_a_message_that_names_it(wrong: str, message: str):
    done = helm("template", "release", CHART, "-f", LEAST, "--set", wrong)
    assert done.returncode != 0
    assert re.search(message, done.stderr), done.stderr


def test_large_numbers_are_written_as_processes_and_kubernetes_read_them(tmp_path: Path):
    values = tmp_path / "values.yaml"
    values.write_text(
        "settings: {QUOTA_BYTES: 107374182400, UPLOAD_POLL_SECONDS: 0.5, PACKS: 'no'}\n"
        "runAsUser: 1000661234\n"
    )
    manifests = render("-f", LEAST, "-f", values)
    [variables] = [d["data"] for d in manifests if d["kind"] == "ConfigMap"]
    assert variables["STAGING_QUOTA_BYTES"] == "107374182400"
    assert variables["STAGING_UPLOAD_POLL_SECONDS"] == "0.5"
    assert variables["STAGING_PACKS"] == "no"
    for pod in (d["spec"]["template"]["spec"] for d in manifests if d["kind"] == "Deployment"):
        security = pod["securityContext"]
        assert [security[name] for name in ("runAsUser", "runAsGroup", "fsGroup")] == [
            1000661234
        ] * 3


def test_a_single_pod_does_not_keep_its_node_from_being_drained():
    budgets = [
        d["metadata"]["name"]
        for d in render("-f", LEAST, "--set", "worker.replicas=1")
        if d["kind"] == "PodDisruptionBudget"
    ]
    assert [name.rpartition("-")[2] for name in budgets] == ["api"]


def test_files_that_settings_name_are_mounted_where_they_are_read():
    manifests = render("-f", CHART / "ci" / "production.yaml")
    pods = [each["spec"]["template"]["spec"] for each in manifests if each["kind"] == "Deployment"]
    assert len(pods) == 2
    for pod in pods:
        (container,) = pod["containers"]
        assert {"name": "documents", "secret": {"secretName": "document-keys"}} in pod["volumes"]
        assert "/etc/documents" in {each["mountPath"] for each in container["volumeMounts"]}


def test_a_bucket_needs_no_volume_but_room_and_a_credential():
    documents = render("-f", CHART / "ci" / "bucket.yaml")
    assert "PersistentVolumeClaim" not in {d["kind"] for d in documents}
    (config,) = [d["data"] for d in documents if "STAGING_BIND" in d.get("data", {})]
    assert Bucket.parse(config["STAGING_STORE"]).public_endpoint == "https://files.example.org"
    deployed = [pod for d, pod in pods(documents) if d["kind"] in LONG_RUNNING]
    assert len(deployed) == 2
    for pod in deployed:
        (container,) = pod["containers"]
        assert {"secretRef": {"name": "staging-bucket"}} in container["envFrom"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["home"] == {"name": "home", "emptyDir": {"sizeLimit": "200Gi"}}


def test_notes_say_how_many_connections_the_database_must_allow():
    done = helm("install", "release", CHART, "-f", LEAST, "--dry-run=client")
    assert done.returncode == 0, done.stderr
    # (3 pods x 2 processes + 2 workers) x (2 pools of 10 + 3)
    assert "must allow 184 connections" in done.stdout


def test_the_key_of_a_secret_becomes_a_home_that_pods_sign_with(tmp_path: Path):
    """Runs the init container's commands, with folders of this machine instead of the pod's."""
    key = signing_key(tmp_path)
    secret = ["gpg", "--homedir", str(key.home), "--batch", "--armor", "--export-secret-keys"]
    exported = subprocess.run(secret, check=True, capture_output=True).stdout
    stop_agent(key.home)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "signing.asc").write_bytes(exported)
    values = {"existingSecret": "staging-signing", "fingerprint": key.fingerprint}
    given = [word for n, v in values.items() for word in ("--set-string", f"signing.{n}={v}")]
    documents = render("-f", LEAST, *given)
    (config,) = [d["data"] for d in documents if "STAGING_BIND" in d.get("data", {})]
    found = [pod for d, pod in pods(documents) if d["kind"] in LONG_RUNNING]
    assert len(found) == 2
    for number, pod in enumerate(found):
        (first,) = pod["initContainers"]
        mounts = {each["name"]: each["mountPath"] for each in first["volumeMounts"]}
        (container,) = pod["containers"]
        assert {"name": "gnupg", "mountPath": mounts["gnupg"]} in container["volumeMounts"]
        (script,) = first["args"]
        with TemporaryDirectory(prefix="gpg-") as run:
            script = script.replace(mounts["signing"], str(tmp_path / "secret"))
            script = script.replace(mounts["gnupg"], run)
            done = subprocess.run([*first["command"], script], capture_output=True, check=False)
            assert done.returncode == 0, (number, done.stderr)
            home = Path(config["STAGING_SIGNING_HOME"].replace(mounts["gnupg"], run))
            assert home.stat().st_mode & 0o077 == 0
            made = checked(SigningKey(home, config["STAGING_SIGNING_KEY"]))
            assert isinstance(sign(b"Suite: x\n", made), SignedRelease)
            stop_agent(home)


def test_half_a_signing_key_is_refused():
    for half in ("existingSecret=staging-signing", f"fingerprint={'A' * 40}"):
        done = helm("template", "release", CHART, "-f", LEAST, "--set-string", f"signing.{half}")
        assert done.returncode != 0
        assert "signing.existingSecret and signing.fingerprint go together" in done.stderr
