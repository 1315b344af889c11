"""Files of the Helm chart: repeated values agree; needs no Helm."""

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from staging_api import metrics
from staging_api.settings import Settings
from tests.charts import CHART, values_table

DOCS = CHART.parents[1] / "docs"
RULES: list[dict[str, Any]] = yaml.safe_load((CHART / "alerts.yaml").read_text())["groups"][0][
    "rules"
]
DASHBOARD = json.loads((CHART / "dashboards" / "staging-api.json").read_text())
#: Computed for each request, so not among the counters: http/probes.py.
READINGS = {
    "staging_store_bytes",
    "staging_store_free_bytes",
    "staging_store_capacity_bytes",
    "staging_store_quota_bytes",
    "staging_database_up",
    "staging_queue_artifacts",
    "staging_queue_oldest_seconds",
    "staging_release_validity_left",
    "staging_signing_key_expires_timestamp_seconds",
    "staging_store_lost_contents",
}


def known_metrics() -> set[str]:
    assert metrics.REQUESTS
    samples = set(READINGS)
    for family in REGISTRY.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        samples |= {family.name + suffix for suffix in suffixes.get(family.type, [""])}
    return samples


def test_the_table_of_values_is_that_of_the_chart():
    table = values_table((CHART / "values.yaml").read_text())
    assert table in (CHART / "README.md").read_text(), f"the table should be:\n{table}"


def test_every_setting_of_the_config_map_is_one_of_the_service():
    text = (CHART / "templates" / "configmap.yaml").read_text()
    named = set(re.findall(r"STAGING_([A-Z_]+):", text))
    assert named - {name.upper() for name in Settings.model_fields} == set()


def derived() -> set[str]:
    """Return the variables that the chart sets itself; `settings` must not contain them."""
    text = (CHART / "templates" / "_helpers.tpl").read_text()
    block = text.partition('{{- define "staging-api.derived" -}}')[2].partition("{{- end }}")[0]
    return set(yaml.safe_load(block))


def test_each_setting_has_a_value_or_may_stand_in_settings():
    settings = {name.upper() for name in Settings.model_fields}
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]
    free = settings - derived()
    assert derived() <= settings
    assert {
        name for name in free if not re.search(schema["propertyNames"]["pattern"], name)
    } == set()


def test_what_the_config_map_sets_is_refused_in_settings():
    """The variable would be set twice."""
    text = (CHART / "templates" / "configmap.yaml").read_text()
    assert set(re.findall(r"STAGING_([A-Z_]+):", text)) <= derived()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_queries_existing_metrics_and_has_a_runbook(rule):
    asked = set(re.findall(r"\bstaging_\w+", rule["expr"]))
    assert asked <= known_metrics()
    assert f"### {rule['alert']}\n" in (DOCS / "how-to" / "operations.md").read_text()
    assert rule["annotations"]["runbook"] == f"docs/how-to/operations.md#{rule['alert'].lower()}"


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_a_panel_queries_existing_metrics(panel):
    assert panel["targets"]
    for target in panel["targets"]:
        assert set(re.findall(r"\bstaging_\w+", target["expr"])) <= known_metrics()
