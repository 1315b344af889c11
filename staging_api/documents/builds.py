"""Builds named in documents: the staging service stages them, under the locks of their archives.

A document of the schema ``staging/Builds/v1`` lists builds::

    data:
      builds:
        - archive_url: gs://builds/board/R17-1412.33.0
          artifacts: [installer, symbols]          # default: those that the catalogue selects
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from staging_api.documents.rendering.model import Rendering
from staging_api.documents.validation.build_lists import BUILDS_SCHEMA, faults_of
from staging_api.errors import LockHeld, StagingApiError
from staging_api.locks.hold import RequestOrigin
from staging_api.staging.model import Staging, StagingRequest
from staging_api.staging.service import StagingService
from staging_api.vocabulary.staging import SETTLED_STATES


@dataclass(frozen=True)
class BuildState:
    """Staging state of a build named in documents.

    Attributes:
        state: state of the staging of this build; ``not_staged`` if there is none, ``refused`` if
            the build cannot be staged.
        detail: reason for the refusal.
    """

    archive_url: str
    artifacts: tuple[str, ...]
    state: str
    staging_id: str | None = None
    detail: str | None = None

    @property
    def staged(self) -> bool:
        """Whether all artifacts are staged."""
        return self.state == "staged"


@dataclass(frozen=True)
class DocumentBuilds:
    """Look up and stage the builds named in documents."""

    stagings: StagingService

    def look(self, rendering: Rendering | None) -> tuple[BuildState, ...]:
        """Return the state of each build."""
        return tuple(self._look(*each) for each in named_by(rendering))

    def stage(self, rendering: Rendering | None, origin: RequestOrigin) -> tuple[BuildState, ...]:
        """Queue the missing builds for a worker; return the state of each build."""
        return tuple(self._stage(*each, origin) for each in named_by(rendering))

    def _look(self, archive_url: str, artifacts: tuple[str, ...]) -> BuildState:
        try:
            staging_request = self.stagings.check_request(archive_url, artifacts)
            return _state(staging_request, self.stagings.nothing_left_by_rows(staging_request))
        except StagingApiError as error:
            return BuildState(archive_url, artifacts, "refused", detail=error.detail)

    def _stage(
        self, archive_url: str, artifacts: tuple[str, ...], origin: RequestOrigin
    ) -> BuildState:
        try:
            staging_request = self.stagings.check_request(archive_url, artifacts)
            state = _state(staging_request, self.stagings.nothing_left(staging_request))
            if state.state == "not_staged":
                try:
                    staging = self.stagings.queue(staging_request, origin)
                except LockHeld:
                    self.stagings.queue_behind(staging_request, origin)
                    return BuildState(state.archive_url, state.artifacts, "queued")
                return replace(state, state=staging.state, staging_id=staging.id)
        except StagingApiError as error:
            return BuildState(archive_url, artifacts, "refused", detail=error.detail)
        return state


def named_by(rendering: Rendering | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield archive_url and artifacts of each build named in the documents, without duplicates."""
    seen = set()
    for each in rendering.documents if rendering else ():
        if each.document.schema != BUILDS_SCHEMA or each.secret_paths or faults_of(each.data):
            continue
        for build in each.data["builds"]:
            named = (build["archive_url"], tuple(build.get("artifacts", ())))
            if named not in seen:
                seen.add(named)
                yield named


def _state(staging_request: StagingRequest, staging: Staging | None) -> BuildState:
    url, names = staging_request.archive_url, tuple(staging_request.names)
    if staging is None:
        return BuildState(url, names, "not_staged")
    states = {each.state for each in staging.artifacts if each.name in names}
    done = states <= set(SETTLED_STATES)
    return BuildState(url, names, "staged" if done else staging.state, staging.id)
