"""Operations on one staged artifact: list, evict, pin."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.errors import Conflict, NotFound
from staging_api.http_url import static_path
from staging_api.locks.hold import Locks, RequestOrigin, guarded, hold
from staging_api.paging import Page, page_of
from staging_api.sources.url import canonical_filter, canonical_prefix
from staging_api.staging.lists import ArtifactFilter
from staging_api.staging.model import LOCK_BY_NAME, FileOfArtifact, StagedArtifact
from staging_api.staging.repository import artifact_rows, found_files, lists, reading


def canonical_equal(
    equal: Mapping[str, str], secret_parameters: Collection[str]
) -> Mapping[str, str]:
    """Return a filter with its archive_url in canonical spelling."""
    if "archive_url" not in equal:
        return equal
    return {
        **equal,
        "archive_url": canonical_filter(equal["archive_url"], secret_parameters),
    }


@dataclass(frozen=True)
class Artifacts:
    """The staged artifacts, each changed under the lock of its archive."""

    database: Database
    locks: Locks
    secret_parameters: Collection[str] = ()

    def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        only: ArtifactFilter = ArtifactFilter(),  # noqa: B008 - frozen
    ) -> Page[StagedArtifact]:
        """List the artifacts with ids below `after`, newest first; any spelling of URLs works."""
        only = replace(
            only,
            equal=canonical_equal(only.equal, self.secret_parameters),
            prefix=only.prefix and canonical_prefix(only.prefix),
            sha256=only.sha256 and only.sha256.lower(),
            path=only.path and static_path(only.path).strip("/"),
        )
        with self.database.connect() as conn:
            return page_of(
                lambda rows: lists.list_artifacts(conn, limit=rows, after=after, only=only),
                limit,
            )

    def find(self, artifact_id: str) -> StagedArtifact:
        """Return one artifact, which may be evicted.

        Raises:
            NotFound: there is no such artifact.
        """
        with self.database.connect() as conn:
            return reading.find_artifact(conn, artifact_id)

    def files(self, artifact_id: str, *, limit: int, after: str = "") -> Page[FileOfArtifact]:
        """List the files of a staged artifact behind the path `after`, ordered by path.

        Raises:
            NotFound: there is no such artifact, or it is not staged now.
        """
        artifact = self.find(artifact_id)
        if artifact.state != "staged":
            raise NotFound(f"artifact {artifact_id} is {artifact.state}: it has no files")
        with self.database.connect() as conn:
            return page_of(
                lambda rows: found_files.files_of(conn, artifact_id, after, rows),
                limit,
                lambda file: file.path,
            )

    def evict(self, artifact_id: str, origin: RequestOrigin) -> StagedArtifact:
        """Stop serving an artifact; a later request stages it again.

        Raises:
            NotFound: there is no such artifact, or it is not staged now.
            Conflict: it is pinned.
            LockHeld: a request works on its archive.
        """
        with self._holding_artifact(artifact_id, origin) as conn:
            artifact = reading.find_artifact(conn, artifact_id)
            if not artifact.settled:
                raise NotFound(f"artifact {artifact_id} is not staged: nothing to evict")
            if artifact_rows.is_pinned(conn, artifact_id):
                raise Conflict(f"artifact {artifact_id} is pinned until {artifact.pinned_until}")
            artifact_rows.mark_evicted(conn, artifact_id, "asked")
            return reading.find_artifact(conn, artifact_id)

    def pin(
        self, artifact_id: str, until: datetime | None, origin: RequestOrigin
    ) -> StagedArtifact:
        """Protect an artifact from eviction until that time; None unpins it.

        Raises:
            NotFound: there is no such artifact, or it is evicted already.
            LockHeld: a request works on its archive.
        """
        with self._holding_artifact(artifact_id, origin) as conn:
            artifact_rows.pin(conn, artifact_id, until)
            return reading.find_artifact(conn, artifact_id)

    @contextmanager
    def _holding_artifact(self, artifact_id: str, origin: RequestOrigin) -> Iterator[Connection]:
        """Yield a guarded transaction under the lock of the artifact's archive."""
        artifact = self.find(artifact_id)
        kind = LOCK_BY_NAME[artifact.lock_kind]
        with (
            hold(self.locks, kind, artifact.archive_url, origin) as held,
            guarded(self.database, held) as conn,
        ):
            yield conn
