"""The Helm chart: its rendered manifests, and the table of its values."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
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


@cache
def render(*arguments: str | Path, release: str = "release") -> list[dict[str, Any]]:
    """Return what `render_again` returns, rendered once: callers must not change it."""
    return render_again(*arguments, release=release)


def render_again(*arguments: str | Path, release: str = "release") -> list[dict[str, Any]]:
    """Return the rendered manifests of a release; any failure fails the test."""
    done = helm("template", release, CHART, "--include-crds", *arguments)
    assert done.returncode == 0, done.stderr
    # The loader in C reads the same in a tenth of the time.
    return [document for document in yaml.load_all(done.stdout, yaml.CSafeLoader) if document]


@contextmanager
def schemas_read_once() -> Iterator[None]:
    """Let the validator keep the schemas of Kubernetes, which it else reads for each manifest."""
    # Imported here: most users of this module validate nothing.
    import kubernetes_validate.utils

    with pytest.MonkeyPatch.context() as patch:
        reads = kubernetes_validate.utils.schema_contents
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(reads))
        yield


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
