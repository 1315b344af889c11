"""Page of metrics: it matches the code."""

from pathlib import Path

from prometheus_client import REGISTRY, Histogram

from staging_api import metrics
from staging_api.vocabulary.staging import DAMAGE_REASONS
from tests.unit.test_chart_files import READINGS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
#: Bucket bounds of histograms in seconds.
BOUNDS = [0.002, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0]


def counters_table() -> str:
    """Return the table of process metrics, as the page has to show it."""
    assert metrics.REQUESTS
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for family in sorted(REGISTRY.collect(), key=lambda each: each.name):
        if not family.name.startswith("staging_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in labels_of(family.name))
        lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(lines)


def labels_of(name: str) -> tuple[str, ...]:
    """Return the labels of one of the module's metrics."""
    [found] = [each for each in vars(metrics).values() if getattr(each, "_name", None) == name]
    labels: tuple[str, ...] = found._labelnames
    return labels


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    assert counters_table() in PAGE.read_text(), f"the table should be:\n{counters_table()}"


def test_the_readings_are_those_of_the_code() -> None:
    readings = PAGE.read_text().partition("## Readings")[2]
    assert {line.split("`")[1] for line in readings.splitlines() if line[:3] == "| `"} == READINGS


def test_seconds_are_counted_by_bounds_that_all_histograms_share() -> None:
    """So that dashboard panels are comparable: each shows a part of one series."""
    found = [each for each in vars(metrics).values() if isinstance(each, Histogram)]
    assert len(found) > 1
    for each in found:
        bounds = each._upper_bounds[:-1]
        assert bounds[-1] >= 300
        first = BOUNDS.index(bounds[0])
        assert bounds == BOUNDS[first : first + len(bounds)], each._name


def test_damage_of_each_kind_is_counted_from_none_on() -> None:
    """An alert on an increase misses the first one if the series begins only then."""
    [family] = metrics.STORE_DAMAGED.collect()
    counted = {each.labels["how"] for each in family.samples if each.name.endswith("_total")}
    assert counted == set(DAMAGE_REASONS)
