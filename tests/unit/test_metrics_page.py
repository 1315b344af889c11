"""The page of metrics says what the code counts."""

from pathlib import Path

from prometheus_client import REGISTRY

from staging_api import metrics
from tests.unit.test_chart_files import READINGS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


def counters_table() -> str:
    """The table of what processes count, as the page has to show it."""
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
    """The labels of a metric of the module."""
    [found] = [each for each in vars(metrics).values() if getattr(each, "_name", None) == name]
    labels: tuple[str, ...] = found._labelnames
    return labels


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    assert counters_table() in PAGE.read_text(), f"the table should be:\n{counters_table()}"


def test_the_readings_are_those_of_the_code() -> None:
    readings = PAGE.read_text().partition("## Readings")[2]
    assert {line.split("`")[1] for line in readings.splitlines() if line[:3] == "| `"} == READINGS
