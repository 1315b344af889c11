"""The Helm chart: its rendered manifests, and the table of its values."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "charts" / "staging-api"
VALUE_FILES = sorted((CHART / "ci").glob("*.yaml"))
_TOOLS = Path(os.environ.get("STAGING_TEST_TOOLS", "/var/cache/staging-api-tests"))
HELM, KUBECTL, PROMTOOL = _TOOLS / "helm", _TOOLS / "kubectl", _TOOLS / "promtool"
#: The versions of Kubernetes for which the manifests have to be valid.
KUBERNETES = ("1.33", "1.34", "1.35", "1.36", "1.37")

_LINE = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z]+):(?: (?P<value>.*))?")


def helm(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run Helm; the result contains its output."""
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False)


def render(*arguments: str | Path, release: str = "release") -> list[dict[str, Any]]:
    """Return the rendered manifests of a release; any failure fails the test."""
    done = helm("template", release, CHART, "--include-crds", *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def values_table(text: str) -> str:
    """Build the table of all values that have a comment ``# --``, as in the chart's README."""
    lines = ["| value | default | meaning |", "|---|---|---|"]
    path: list[str] = []
    meaning: list[str] = []
    for line in text.splitlines():
        if line.strip().startswith("# -- "):
            meaning = [line.strip().removeprefix("# -- ")]
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        path = [*path[: len(found["indent"]) // 2], found["key"]]
        if meaning:
            default = found["value"] or "see values.yaml"
            lines.append(f"| `{'.'.join(path)}` | `{default}` | {meaning[0]} |")
            meaning = []
    return "\n".join(lines)
