"""Phases of a run: accept uploads, publish packages, supersede older ones, tidy.

What if the process dies? Each phase commits in steps that are consistent by themselves, through
`RunLog.step`, or `RunLog.writing` if no later write makes them durable; whatever a phase has not
reached is still accepted, pending, unlisted or overdue, and the next run finds it.
See `suite_publishing` for the order of the phases.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from staging_api.publishing.domination import Supersession, dominate_binaries, dominate_sources
from staging_api.publishing.model import AptArchive, Suite
from staging_api.publishing.rows import domination, generations, indices, packages, pool, uploads
from staging_api.publishing.rows.domination import PackageCandidates
from staging_api.publishing.run_model import Options
from staging_api.publishing.runlog import RunLog
from staging_api.staging.store_identity import StoreIdentity
from staging_api.store.blob_store import BlobStore

_ACCEPTED_AT_ONCE = 200
_PUBLISHED_AT_ONCE = 500
#: Maximum number of notes of one kind; further ones are only in the uploads.
_NOTES_AT_MOST = 20


def accept(run: RunLog, apt_archive: AptArchive) -> None:
    """Turn accepted uploads into pending package publications, each independently of the others."""
    with run.database.plain_connection() as conn:
        waiting = uploads.accepted_uploads(conn, apt_archive.id)
    run.phase("accept", len(waiting))
    for start in range(0, len(waiting), _ACCEPTED_AT_ONCE):
        some = waiting[start : start + _ACCEPTED_AT_ONCE]
        with run.single_step() as conn:
            failed = uploads.accept(conn, some)
        for upload_id, reason in failed.items():
            run.note(f"upload {upload_id} was left for later: {reason}")
        run.counts["accepted"] += len(some) - len(failed)
        run.counts["not_accepted"] += len(failed)
        run.progress(start + len(some), len(waiting))


def publish(
    run: RunLog, blobs: BlobStore, suites: Sequence[int], options: Options, at_once: int
) -> int:
    """Publish pending packages whose files are in the store; return their number.

    If `at_once` or more were published, more may be left for the next generation.
    """
    with run.database.plain_connection() as conn:
        files = packages.files_to_publish(conn, suites, published_too=options.wants("publishing"))
    run.phase("publish", len(files), lasting=len(files) > _PUBLISHED_AT_ONCE)
    # With another store mounted, all files would seem to be missing.
    StoreIdentity(run.database, blobs).check()
    gone = blobs.lacks({file.sha256: file.size_bytes for file in files})
    missing = {file.id: file.path for file in files if file.sha256 in gone}
    ready = sorted({file.id for file in files} - missing.keys())
    step, published = min(_PUBLISHED_AT_ONCE, at_once), 0
    for start in range(0, len(ready), step):
        if published >= at_once:
            break
        with run.single_step() as conn:
            published += packages.publish(conn, ready[start : start + step])
        run.progress(published, len(ready))
    run.counts["published"] += published
    for publication, path in missing.items():
        run.note(f"{path} is not in the store")
        with run.single_step() as conn:
            packages.hold_back(conn, [publication], f"{path} is not in the store")
    return published


def renew_statistics(run: RunLog) -> None:
    """Renew the statistics of PostgreSQL's planner after many changes."""
    with run.writing() as conn:
        packages.renew_statistics(conn)


def dominate(
    run: RunLog, apt_archive: AptArchive, suites: Collection[int], options: Options
) -> None:
    """Supersede older versions, and set when files of ended packages may leave the pool."""
    careful = options.wants("domination")
    run.phase("dominate", len(suites), lasting=careful)
    chosen = [suite for suite in apt_archive.suites if suite.id in suites]
    candidates = _candidates(run, chosen, careful=careful)
    superseded = [
        each
        for suite in chosen
        if suite.id in candidates
        for each in _dominated(suite, candidates[suite.id])
    ]
    unseen: list[str] = []
    if superseded or _has_ended(run, apt_archive):
        with run.single_step() as conn:
            unseen = domination.supersede(
                conn, apt_archive.id, superseded, apt_archive.quarantine_seconds
            )
    run.counts["superseded"] += len(superseded) - len(unseen)
    # A package that clients never saw does not count as published.
    run.counts["published"] -= len(unseen)
    run.counts["superseded_at_once"] += len(unseen)
    for note in unseen[:_NOTES_AT_MOST]:
        run.note(note)


def tidy(run: RunLog, apt_archive: AptArchive) -> None:
    """Drop generations and files that clients can no longer fetch, if there are any."""
    retention = apt_archive.retention_seconds
    with run.database.plain_connection() as conn:
        reapable, removable = generations.overdue(conn, apt_archive.id, retention)
    if not (reapable or removable):
        return
    run.phase("tidy")
    with run.writing() as conn:
        if reapable:
            run.counts["reaped"] += generations.reap_generations(conn, apt_archive.id, retention)
            indices.drop_unkept(conn, apt_archive.id)
            indices.drop_unnamed(conn)
        pool.remove_condemned(conn, apt_archive.id)
        run.counts["removed_files"] += pool.remove_unused_files(
            conn, apt_archive.id, apt_archive.quarantine_seconds
        )


def _candidates(
    run: RunLog, suites: Sequence[Suite], *, careful: bool
) -> Mapping[int, PackageCandidates]:
    """Return by suite the packages to compare: all, or only changed ones and their rivals."""
    whole = [suite.id for suite in suites if careful or suite.rebuild_since is not None]
    changed = [suite.id for suite in suites if suite.id not in whole]
    with run.database.plain_connection() as conn:
        found = domination.changed_to_dominate(conn, changed) if changed else {}
        return found | {suite_id: domination.all_to_dominate(conn, suite_id) for suite_id in whole}


def _dominated(suite: Suite, found: PackageCandidates) -> Iterator[Supersession]:
    """Yield the supersessions in a suite."""
    yield from dominate_sources(found.sources)
    for each in dominate_binaries(found.binaries, suite.architectures):
        if each.id in found.decided:
            yield each


def _has_ended(run: RunLog, apt_archive: AptArchive) -> bool:
    with run.database.plain_connection() as conn:
        return domination.has_ended(conn, apt_archive.id)
