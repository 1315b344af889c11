"""Builds that documents name: staged by the staging service, under the locks of their archives.

A document of the schema ``staging/Builds/v1`` lists them::

    data:
      builds:
        - archive_url: gs://builds/board/R17-1412.33.0
          artifacts: [full_payload, stateful]      # default: what the catalogue says
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from staging_api.documents.model import Fault, Finding
from staging_api.documents.rendering.model import Rendering
from staging_api.errors import LockHeld, StagingApiError
from staging_api.locks.hold import RequestOrigin
from staging_api.staging.model import Wanted
from staging_api.staging.service import StagingService
from staging_api.vocabulary.staging import SETTLED_STATES

BUILDS_SCHEMA = "staging/Builds/v1"
_MOST = 1000


@dataclass(frozen=True)
class BuildState:
    """How far a build that documents name is.

    Attributes:
        state: of the staging that brings it, ``not_staged`` if there is none, ``refused`` if it
            cannot be.
        detail: why it is refused.
    """

    archive_url: str
    artifacts: tuple[str, ...]
    state: str
    staging_id: str | None = None
    detail: str | None = None

    @property
    def staged(self) -> bool:
        """Whether all of it is there."""
        return self.state == "staged"


@dataclass(frozen=True)
class Builds:
    """What documents have to do with builds."""

    stagings: StagingService

    def look(self, rendering: Rendering | None) -> tuple[BuildState, ...]:
        """Which builds are there."""
        return tuple(self._look(*each) for each in named_by(rendering))

    def stage(self, rendering: Rendering | None, origin: RequestOrigin) -> tuple[BuildState, ...]:
        """Leave to a worker what is missing; answers which are there already."""
        return tuple(self._stage(*each, origin) for each in named_by(rendering))

    def _look(self, archive_url: str, artifacts: tuple[str, ...]) -> BuildState:
        try:
            return self._state(self.stagings.wanted(archive_url, artifacts))
        except StagingApiError as error:
            return BuildState(archive_url, artifacts, "refused", detail=error.detail)

    def _stage(
        self, archive_url: str, artifacts: tuple[str, ...], origin: RequestOrigin
    ) -> BuildState:
        try:
            wanted = self.stagings.wanted(archive_url, artifacts)
            state = self._state(wanted)
            if state.state == "not_staged":
                try:
                    staging = self.stagings.queue(wanted, origin)
                except LockHeld:
                    self.stagings.queue_behind(wanted, origin)
                    return BuildState(state.archive_url, state.artifacts, "queued")
                return replace(state, state=staging.state, staging_id=staging.id)
        except StagingApiError as error:
            return BuildState(archive_url, artifacts, "refused", detail=error.detail)
        return state

    def _state(self, wanted: Wanted) -> BuildState:
        url, names = wanted.archive_url, tuple(wanted.names)
        staging = self.stagings.nothing_left(wanted)
        if staging is None:
            return BuildState(url, names, "not_staged")
        states = {each.state for each in staging.artifacts if each.name in names}
        done = states <= set(SETTLED_STATES)
        return BuildState(url, names, "staged" if done else staging.state, staging.id)


def named_by(rendering: Rendering | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The archive_url and artifacts of each build that the documents name, each once."""
    seen = set()
    for each in rendering.documents if rendering else ():
        if each.document.schema != BUILDS_SCHEMA or each.secret_paths or faults_of(each.data):
            continue
        for build in each.data["builds"]:
            named = (build["archive_url"], tuple(build.get("artifacts", ())))
            if named not in seen:
                seen.add(named)
                yield named


def check(rendering: Rendering) -> Iterator[Finding]:
    """What is wrong with documents that name builds."""
    for each in rendering.documents:
        if each.document.schema == BUILDS_SCHEMA and each.secret_paths:
            # Everyone sees which builds are staged.
            message = "names builds, which are no secret: it must not be, or hold, one"
            yield Finding(Fault.INVALID_DATA, message, (each.document.identity,), ".data")
        elif each.document.schema == BUILDS_SCHEMA:
            for path, message in faults_of(each.data):
                yield Finding(Fault.INVALID_DATA, message, (each.document.identity,), path)


def faults_of(data: Any) -> Sequence[tuple[str, str]]:
    """What is wrong with the data of such a document: path and message."""
    if not isinstance(data, Mapping) or set(data) != {"builds"}:
        return [(".data", "must be a mapping with `builds`, and nothing else")]
    builds = data["builds"]
    if not isinstance(builds, list) or len(builds) > _MOST:
        return [(".data.builds", f"must be a list of at most {_MOST} builds")]
    return [fault for place, build in enumerate(builds) for fault in _of_build(place, build)]


def _of_build(place: int, build: Any) -> Iterator[tuple[str, str]]:
    here = f".data.builds[{place}]"
    if not isinstance(build, Mapping) or not set(build) <= {"archive_url", "artifacts"}:
        yield here, "must be a mapping with `archive_url`, and with `artifacts` if not all"
        return
    if not isinstance(build.get("archive_url"), str):
        yield f"{here}.archive_url", "must be the URL of a build"
    artifacts = build.get("artifacts", [])
    if not isinstance(artifacts, list) or not all(isinstance(name, str) for name in artifacts):
        yield f"{here}.artifacts", "must be a list of names"
