"""Read staged files by name, folder and target, on any connection.

The statements are texts, because composing a statement takes as long as running it. The first one,
which polling clients cause, calls a function, whose plan is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from staging_api.db.engine import Database, rows
from staging_api.errors import NotFound
from staging_api.staging.model import FileOfArtifact, Question
from staging_api.store.places import Place, place_in, place_of
from staging_api.vocabulary.staging import SETTLED_STATES, ArtifactState


@dataclass(frozen=True)
class EntryState:
    """The state of one catalogue entry of an archive."""

    name: str
    state: ArtifactState
    error_message: str | None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do for the entry."""
        return self.state in SETTLED_STATES


@dataclass(frozen=True)
class FoundFile:
    """One staged file, with the times of its artifact; `path` is below ``/static``."""

    path: str
    sha256: str
    size_bytes: int
    staged_at: datetime
    last_accessed_at: datetime | None
    pack_sha256: str | None
    pack_bytes: int | None
    pack_offset: int | None

    @property
    def place(self) -> Place:
        """The place of its bytes in the store."""
        return place_of(self)


@dataclass(frozen=True)
class BuildFolder:
    """The folder of an archive's files below ``/static``."""

    archive_url: str
    static_prefix: str


def outcomes(conn: Connection, archive_url: str, names: Sequence[str]) -> list[EntryState]:
    """Return the live rows of these entries: one probe of ``staged_artifacts_live_key``."""
    return [EntryState(*row) for row in rows(conn, _OUTCOMES, (archive_url, list(names)))]


def outcomes_at(
    database: Database, questions: Sequence[Question]
) -> Mapping[Question, list[EntryState]]:
    """Return the result of `outcomes` for each of these requests, by one statement."""
    found: dict[Question, list[EntryState]] = {question: [] for question in questions}
    statement = " UNION ALL ".join([_OUTCOMES_AT] * len(questions))
    given: list[object] = []
    for number, each in enumerate(questions):
        given += [number, each.archive_url, list(each.names)]
    for number, *row in database.read(statement, given):
        found[questions[number]].append(EntryState(*row))
    return found


def folder_of(conn: Connection, archive_url: str) -> str:
    """Return the archive's folder below ``/static``.

    Raises:
        NotFound: no artifact of the archive was ever staged.
    """
    found = conn.execute(_FOLDER_OF, {"archive_url": archive_url}).scalar_one_or_none()
    if found is None:
        raise NotFound(f"nothing of {archive_url} is staged")
    return str(found)


def files_below(conn: Connection, static_prefix: str, folder: str = "") -> list[FoundFile]:
    """Return the staged files of one archive, ordered by path.

    Args:
        static_prefix: the archive's folder below ``/static``.
        folder: only files below this folder of the archive; ends in ``/`` unless empty.
    """
    below = f"{static_prefix}/{folder}"
    # "0" is the character after "/", so the range contains the folder's files, and no sibling.
    given = {"prefix": static_prefix, "below": below, "beyond": f"{below[:-1]}0"}
    return [FoundFile(*row) for row in conn.execute(_FILES_BELOW, given)]


def builds_below(conn: Connection, folder: str, names: Sequence[str]) -> list[BuildFolder]:
    """Return the archives in this folder of ``/static`` of which each of `names` is staged."""
    given = {"folder": f"{folder}/", "names": list(names), "count": len(set(names))}
    found = conn.execute(_BUILDS_BELOW, given)
    return [BuildFolder(*row) for row in found]


def newest_of_each(
    conn: Connection, lock_kind: str, endings: Iterable[str], archives: int
) -> Mapping[str, Place]:
    """Return the place of the newest staged file for each path below an archive's folder.

    Args:
        lock_kind: lock kind of the artifacts of these files.
        endings: paths below the folder of any archive.
        archives: number of artifacts to search, the newest first.
    """
    given = {"kind": lock_kind, "endings": list(endings), "archives": archives}
    rows = conn.execute(_NEWEST_OF_EACH, given)
    return {ending: place_in(*where) for ending, *where in rows}


def files_of(conn: Connection, artifact_id: str, after: str, limit: int) -> list[FileOfArtifact]:
    """Return the files of one artifact behind the path `after`, in the order of their bytes."""
    given = {"id": artifact_id, "after": after, "limit": limit}
    return [FileOfArtifact(*row) for row in conn.execute(_FILES_OF, given)]


_OUTCOMES = "SELECT name, state, error_message FROM artifact_outcomes(%s, %s)"
_OUTCOMES_AT = "SELECT %s, name, state, error_message FROM artifact_outcomes(%s, %s)"

_FOLDER_OF = text("SELECT static_prefix FROM archives WHERE archive_url = :archive_url")

_FILES_BELOW = text("""
    SELECT f.path, f.sha256, f.size_bytes, a.staged_at, a.last_accessed_at,
        f.pack_sha256, f.pack_bytes, f.pack_offset
    FROM archives r
    JOIN staged_artifacts a ON a.archive_url = r.archive_url AND a.state = 'staged'
    JOIN staged_files f ON f.artifact_id = a.id
    WHERE r.static_prefix = :prefix
      AND f.path COLLATE "C" >= :below AND f.path COLLATE "C" < :beyond
    ORDER BY f.path COLLATE "C"
""")

# Each half has its own limit, so that it reads one page of its index. An image is also served below
# the folder of images: a second path with the same name.
_FILES_OF = text("""
    SELECT substr(f.path, length(r.static_prefix) + 2
            + CASE WHEN starts_with(f.path, r.static_prefix || '/') THEN 0
                ELSE length('images/') END),
        f.path, f.sha256, f.size_bytes, f.executable
    FROM (
        (SELECT artifact_id, path, sha256, size_bytes, executable FROM loose_files
         WHERE artifact_id = :id AND path COLLATE "C" > :after
         ORDER BY path COLLATE "C" LIMIT :limit)
        UNION ALL
        (SELECT p.artifact_id, p.path, encode(p.sha256, 'hex'), p.size_bytes, p.executable
         FROM packs k, packed_files p
         WHERE k.artifact_id = :id AND p.artifact_id = :id AND p.path COLLATE "C" > :after
           AND p.path COLLATE "C" >= k.first_path AND p.path COLLATE "C" <= k.last_path
         ORDER BY p.path COLLATE "C" LIMIT :limit)
    ) f
    JOIN staged_artifacts a ON a.id = f.artifact_id AND a.state = 'staged'
    JOIN archives r USING (archive_url)
    ORDER BY f.path COLLATE "C" LIMIT :limit
""")

_BUILDS_BELOW = text("""
    SELECT r.archive_url, r.static_prefix FROM archives r
    WHERE starts_with(r.static_prefix, :folder)
      AND EXISTS (SELECT FROM staged_artifacts a
                  WHERE a.archive_url = r.archive_url AND a.state = 'staged')
      AND (SELECT count(DISTINCT a.name) FROM staged_artifacts a
           WHERE a.archive_url = r.archive_url AND a.state = 'staged'
             AND a.name = ANY (:names)) = :count
""")

# The folders are few and their files many: each path is built, and looked up by its index.
_NEWEST_OF_EACH = text("""
    WITH newest AS (
        SELECT a.id, a.staged_at, r.static_prefix
        FROM staged_artifacts a JOIN archives r USING (archive_url)
        WHERE a.lock_kind = :kind AND a.state = 'staged'
        ORDER BY a.id DESC LIMIT :archives
    )
    SELECT DISTINCT ON (ending) ending, f.sha256, f.size_bytes, f.pack_sha256, f.pack_bytes,
        f.pack_offset
    FROM newest n CROSS JOIN unnest(CAST(:endings AS text[])) AS ending
    JOIN staged_files f ON f.artifact_id = n.id
        AND f.path COLLATE "C" = n.static_prefix || '/' || ending
    ORDER BY ending, n.staged_at DESC
""")
