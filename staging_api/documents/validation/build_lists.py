"""Validation of the data of ``staging/Builds/v1`` documents, which list builds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from staging_api.documents.model import Path

BUILDS_SCHEMA = "staging/Builds/v1"
_MOST = 1000


def faults_of(data: Any) -> Sequence[tuple[Path, str]]:
    """Return the faults of the data: path and message of each."""
    if not isinstance(data, Mapping) or set(data) != {"builds"}:
        return [((), "must be a mapping with `builds`, and nothing else")]
    builds = data["builds"]
    if not isinstance(builds, list) or len(builds) > _MOST:
        return [(("builds",), f"must be a list of at most {_MOST} builds")]
    return [fault for place, build in enumerate(builds) for fault in _of_build(place, build)]


def _of_build(place: int, build: Any) -> Iterator[tuple[Path, str]]:
    here = ("builds", place)
    if not isinstance(build, Mapping) or not set(build) <= {"archive_url", "artifacts"}:
        yield here, "must be a mapping with `archive_url`, and with `artifacts` if not all"
        return
    if not isinstance(build.get("archive_url"), str):
        yield (*here, "archive_url"), "must be the URL of a build"
    artifacts = build.get("artifacts", [])
    if not isinstance(artifacts, list) or not all(isinstance(name, str) for name in artifacts):
        yield (*here, "artifacts"), "must be a list of names"
