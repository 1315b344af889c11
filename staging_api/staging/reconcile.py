"""Compare disk and tables, a part of the store at a time, and repair whichever is wrong.

Contents that the disk has lost, or has in another length: the artifacts that have them are evicted,
so that whoever wants them stages them again. Files without a row, and rows that nothing names, both
older than the grace time: doomed, and `Upkeep.collect` removes them. What was found stays in
``store_checks``.

Nothing waits for this: it runs in a worker, the parts take turns, and of several workers each is
given another part. What if the process dies? The part is checked again when its turn comes.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from staging_api.staging import repository
from staging_api.staging.repository import Idle
from staging_api.staging.upkeep import Upkeep

log = logging.getLogger(__name__)

#: The parts: contents by the first two digits of their digests.
SHARDS = tuple(f"{number:02x}" for number in range(256))


@dataclass(frozen=True)
class Checked:
    """What the check of one part found.

    Attributes:
        lost: contents that a row promised and the disk did not have.
        strangers: contents on the disk that no row knew.
    """

    shard: str
    files: int
    size_bytes: int
    lost: tuple[str, ...]
    strangers: tuple[str, ...]


def check_next(upkeep: Upkeep) -> Checked | None:
    """Check the part of the store whose turn it is; None: each was checked lately."""
    with upkeep.database.connect() as conn:
        shard = repository.claim_shard(conn, SHARDS, upkeep.terms.check_seconds)
    return None if shard is None else check(upkeep, shard)


def check(upkeep: Upkeep, shard: str) -> Checked:
    """Check one part of the store, and write down what was found."""
    with upkeep.database.connect() as conn:
        # Before the files: a content that comes in between has a file that is young.
        rows = repository.blobs_of(conn, shard)
    files = {blob.sha256: (blob.size_bytes, used) for blob, used in upkeep.blobs.shard(shard)}
    lost = tuple(
        digest
        for digest, size in rows.items()
        if _size(files.get(digest)) != size and _lose(upkeep, digest, size)
    )
    strangers = _strangers(upkeep, files)
    with upkeep.database.begin() as conn:
        repository.adopt_strangers(conn, strangers)
        repository.doom_unnamed(
            conn, repository.unnamed_of(conn, shard, upkeep.terms.grace_seconds)
        )
    found = Checked(
        shard, len(files), sum(size for size, _ in files.values()), lost, tuple(strangers)
    )
    with upkeep.database.connect() as conn:
        repository.note_check(
            conn,
            shard,
            files=found.files,
            size_bytes=found.size_bytes,
            lost=len(lost),
            strangers=len(strangers),
        )
    return found


def _size(file: tuple[int, float] | None) -> int | None:
    return None if file is None else file[0]


def _lose(upkeep: Upkeep, digest: str, size_bytes: int) -> bool:
    """Whether the disk has really lost it; then nothing says any more that it is there."""
    with upkeep.database.connect() as conn:
        promised = repository.blobs_of(conn, digest)
        named_by = repository.artifacts_with(conn, digest)
    found = upkeep.blobs.find(digest)
    if not promised or (found is not None and found.size_bytes == size_bytes):
        return False  # it was removed, or came back, since it was looked for
    log.error("the store has lost %s, which %d artifacts have", digest, len(named_by))
    # What is not whole must not be found by the next who brings it.
    upkeep.blobs.remove(digest)
    for artifact in _found(upkeep, named_by):
        upkeep.evict(artifact, "lost")
    with upkeep.database.connect() as conn:
        repository.doom_unnamed(conn, [digest])
    return True


def _found(upkeep: Upkeep, artifact_ids: list[str]) -> Iterator[Idle]:
    for artifact_id in artifact_ids:
        with upkeep.database.connect() as conn:
            found = repository.find_artifact(conn, artifact_id)
        size = found.size_bytes or 0
        yield Idle(found.id, found.archive_url, found.lock_kind, found.name, size)


def _strangers(upkeep: Upkeep, files: Mapping[str, tuple[int, float]]) -> dict[str, int]:
    """Files without a row that nobody has used for the grace time, with their lengths."""
    horizon = time.time() - upkeep.terms.grace_seconds
    old = {digest: size for digest, (size, used) in files.items() if used < horizon}
    with upkeep.database.connect() as conn:
        known = repository.known_blobs(conn, list(old))
    return {digest: size for digest, size in old.items() if digest not in known}
