"""Alerts of the chart, tested by promtool: each fires when it should, and not for another release.

The series have the labels that a Prometheus operator would add. They are derived here from the
rendered monitors, as the operator does it: job is NAMESPACE/NAME of the PodMonitor.
"""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts import CHART, PROMTOOL, render

pytestmark = pytest.mark.system

_VALUES = CHART / "ci" / "production.yaml"
#: Release and namespace of the documented installation, and of another one.
OURS, OTHER = "staging", "elsewhere"


@dataclass(frozen=True)
class Case:
    """Series for which an alert must fire, and series for which it must not.

    Attributes:
        firing, silent: values by series, with name and labels in promtool's notation; the labels
            of the target are added.
        part: component whose pods export the series.
        labels: labels of the alert, in addition to those of the rule.
    """

    firing: Mapping[str, str]
    silent: Mapping[str, str]
    part: str = "api"
    labels: Mapping[str, str] = field(default_factory=dict)


_REQUESTS = "staging_requests_total{{method='POST', route='/stagings', status='{}'}}"
_ARTIFACTS = "staging_artifacts_total{{artifact='stateful', outcome='{}'}}"
CASES = {
    "StagingApiDown": Case({"up": "0x120"}, {"up": "1x120"}),
    "StagingDatabaseDown": Case(
        {"staging_database_up{of='database'}": "0x120"},
        {"staging_database_up{of='database'}": "1x120"},
    ),
    "StagingErrors": Case(
        {_REQUESTS.format(500): "0+1x120", _REQUESTS.format(201): "0+9x120"},
        {_REQUESTS.format(500): "0+1x120", _REQUESTS.format(201): "0+99x120"},
    ),
    "StagingQueueStuck": Case(
        {"staging_queue_oldest_seconds{of='pending'}": "2000x120"},
        {
            "staging_queue_oldest_seconds{of='pending'}": "60x120",
            "staging_queue_oldest_seconds{of='staging'}": "2000x120",
        },
        part="worker",
    ),
    # Nothing was ever staged, so that outcome has no series.
    "StagingSourceFailures": Case(
        {_ARTIFACTS.format("source_refused"): "0+1x120"},
        {_ARTIFACTS.format("source_refused"): "0+1x120", _ARTIFACTS.format("staged"): "0+2x120"},
        part="worker",
    ),
    "StagingLocksLost": Case(
        {"staging_locks_lost_total{kind='archive'}": "0x100 1x20"},
        {"staging_locks_lost_total{kind='archive'}": "1x120"},
        part="worker",
    ),
    # Of a bucket: one pod's spool; a large disk is not full with the same number of bytes.
    "StagingStoreFull": Case(
        {
            "staging_store_free_bytes{of='spool'}": "40x120",
            "staging_store_capacity_bytes{of='spool'}": "1000x120",
        },
        {
            "staging_store_free_bytes{of='spool'}": "40x120",
            "staging_store_capacity_bytes{of='spool'}": "500x120",
        },
        labels={"of": "spool"},
    ),
    # A store that uses its whole quota is full only if it cannot evict enough.
    "StagingQuotaFull": Case(
        {
            "staging_store_bytes{of='used'}": "990x120",
            "staging_store_bytes{of='kept'}": "900x120",
            "staging_store_bytes{of='reserved'}": "10x120",
            "staging_store_quota_bytes{of='quota'}": "1000x120",
        },
        {
            "staging_store_bytes{of='used'}": "1000x120",
            "staging_store_bytes{of='kept'}": "500x120",
            "staging_store_bytes{of='reserved'}": "10x120",
            "staging_store_quota_bytes{of='quota'}": "1000x120",
        },
    ),
    "StagingSpaceRefused": Case(
        {_ARTIFACTS.format("no_space"): "0+1x120"},
        {_ARTIFACTS.format("no_space"): "0x19 1x100", _ARTIFACTS.format("staged"): "0+1x120"},
        part="worker",
    ),
    "StagingStoreDamaged": Case(
        {"staging_store_damaged_total{how='corrupt'}": "0x100 1x20"},
        {"staging_store_damaged_total{how='corrupt'}": "1x120"},
        part="worker",
    ),
    "StagingPackagesLost": Case(
        {"staging_store_lost_contents{of='pool'}": "1x120"},
        {"staging_store_lost_contents{of='pool'}": "0x120"},
    ),
    "StagingHousekeepingFails": Case(
        # Every ten minutes, the longest back-off of a worker; then several at once, then none.
        {"staging_housekeeping_failures_total{step='collect'}": "0x19 1x39 2x39 3x19"},
        {"staging_housekeeping_failures_total{step='collect'}": "0x59 6x59"},
        part="worker",
        labels={"step": "collect"},
    ),
    "StagingReleasesExpire": Case(
        {"staging_release_validity_left{of='tools'}": "0.2x120"},
        {
            "staging_release_validity_left{of='tools'}": "0.4x120",
            "staging_release_validity_left{of='others'}": "1x120",
        },
        part="worker",
        labels={"of": "tools"},
    ),
    # promtool's clock begins at 0, and asks after 29 minutes.
    "StagingSigningKeyExpires": Case(
        {"staging_signing_key_expires_timestamp_seconds{of='AAAA'}": "2000000x120"},
        {"staging_signing_key_expires_timestamp_seconds{of='BBBB'}": "3000000x120"},
        labels={"of": "AAAA"},
    ),
    "StagingSigningKeyExpired": Case(
        {"staging_signing_key_expires_timestamp_seconds{of='AAAA'}": "60x120"},
        {"staging_signing_key_expires_timestamp_seconds{of='BBBB'}": "2000000x120"},
        labels={"of": "AAAA"},
    ),
    "StagingDatabaseConnections": Case(
        {"staging_database_unavailable_total": "0+6x120"},
        {"staging_database_unavailable_total": "0+1x120"},
    ),
    "StagingCredentialsFileWrong": Case(
        {"staging_credentials_file_wrong": "1x120"}, {"staging_credentials_file_wrong": "0x120"}
    ),
}


@dataclass(frozen=True)
class Install:
    """A release, as Helm renders it."""

    release: str
    namespace: str
    documents: tuple[dict[str, Any], ...]

    def only(self, kind: str) -> dict[str, Any]:
        """Return the only manifest of a kind."""
        (found,) = [d for d in self.documents if d["kind"] == kind]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """The alerting rules."""
        (group,) = self.only("PrometheusRule")["spec"]["groups"]
        rules: list[dict[str, Any]] = group["rules"]
        return rules

    def target(self, part: str) -> dict[str, str]:
        """Return the labels of a component's pod, as the operator's scrape config sets them."""
        (pod,) = [
            d["spec"]["template"]
            for d in self.documents
            if d["kind"] == "Deployment"
            and d["metadata"]["labels"]["app.kubernetes.io/component"] == part
        ]
        (container,) = pod["spec"]["containers"]
        for monitor in (d for d in self.documents if d["kind"] == "PodMonitor"):
            spec = monitor["spec"]
            if spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items():
                (endpoint,) = spec["podMetricsEndpoints"]
                assert endpoint["port"] in {port["name"] for port in container["ports"]}
                assert "jobLabel" not in spec, "derive the label job from it here"
                return {
                    "namespace": self.namespace,
                    "job": f"{self.namespace}/{monitor['metadata']['name']}",
                    "pod": f"{self.release}-{part}-5d8c",
                    "container": container["name"],
                    "endpoint": endpoint["port"],
                    "instance": "10.0.0.7:8081",
                }
        raise AssertionError(f"nothing scrapes {part}")


def install(release: str, namespace: str) -> Install:
    """Render a release with monitoring, and rules, in a namespace."""
    made = render("-f", _VALUES, "--namespace", namespace, release=release)
    return Install(release, namespace, tuple(made))


@pytest.fixture(scope="module")
def ours() -> Install:
    return install(OURS, OURS)


@pytest.fixture(scope="module")
def other() -> Install:
    """Return another release with the same name, in its own namespace."""
    return install(OURS, OTHER)


def series(case: Mapping[str, str], target: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield series with the labels of their target, in promtool's format."""
    given = ", ".join(f"{name}='{value}'" for name, value in target.items())
    for text, values in case.items():
        name, _, own = text.partition("{")
        labels = f"{own.removesuffix('}')}, {given}" if own else given
        yield {"series": f"{name}{{{labels}}}", "values": values}


def check(
    folder: Path, ours: Install, alert: str, given: list[dict[str, str]], *, fires: bool
) -> None:
    """Fail unless promtool sees in 30 minutes an alert with the rule's text, or sees none."""
    (rule,) = [r for r in ours.rules() if r["alert"] == alert]
    # Alone, because promtool evaluates every rule at every step.
    (group,) = ours.only("PrometheusRule")["spec"]["groups"]
    alone = {"groups": [{**group, "rules": [rule]}]}
    (folder / "rules.yaml").write_text(yaml.safe_dump(alone))
    labels = {**rule["labels"], **CASES[alert].labels}
    expected = {"exp_labels": labels, "exp_annotations": rule["annotations"]}
    question = {
        "interval": "15s",
        "input_series": given,
        "alert_rule_test": [
            {"eval_time": "29m", "alertname": alert, "exp_alerts": [expected] if fires else []}
        ],
    }
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": [question]}
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", folder / "test.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case(ours: Install):
    assert {rule["alert"] for rule in ours.rules()} == set(CASES)


def test_the_rules_are_valid_with_and_without_the_chart(ours: Install, tmp_path: Path):
    rendered = tmp_path / "rules.yaml"
    rendered.write_text(yaml.safe_dump(ours.only("PrometheusRule")["spec"]))
    for path in (rendered, CHART / "alerts.yaml"):
        done = subprocess.run([PROMTOOL, "check", "rules", path], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_though_another_release_is_well(
    alert: str, ours: Install, other: Install, tmp_path: Path
):
    case = CASES[alert]
    given = [
        *series(case.firing, ours.target(case.part)),
        *series(case.silent, other.target(case.part)),
    ]
    check(tmp_path, ours, alert, given, fires=True)


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_does_not_fire_though_another_release_is_ill(
    alert: str, ours: Install, other: Install, tmp_path: Path
):
    case = CASES[alert]
    given = [
        *series(case.silent, ours.target(case.part)),
        *series(case.firing, other.target(case.part)),
    ]
    check(tmp_path, ours, alert, given, fires=False)


def test_the_api_is_down_when_no_pod_of_it_is_scraped_and_only_workers_are_up(
    ours: Install, tmp_path: Path
):
    given = [*series({"up": "1x120"}, ours.target("worker"))]
    check(tmp_path, ours, "StagingApiDown", given, fires=True)


def test_one_pod_of_several_is_enough_for_the_api_to_be_up(ours: Install, tmp_path: Path):
    target = ours.target("api")
    given = [
        *series({"up": "1x120"}, target),
        *series({"up": "0x120"}, {**target, "pod": "staging-api-77f0"}),
    ]
    check(tmp_path, ours, "StagingApiDown", given, fires=False)


@pytest.mark.parametrize("alert", CASES)
def test_the_rules_of_the_file_itself_fire_without_the_chart(
    alert: str, ours: Install, tmp_path: Path
):
    """Their matchers accept any namespace and pod: for a Prometheus without the operator."""
    groups = yaml.safe_load((CHART / "alerts.yaml").read_text())["groups"]
    plain = replace(ours, documents=({"kind": "PrometheusRule", "spec": {"groups": groups}},))
    case = CASES[alert]
    labels = {"container": case.part}
    check(tmp_path, plain, alert, [*series(case.firing, labels)], fires=True)
    check(tmp_path, plain, alert, [*series(case.silent, labels)], fires=False)
