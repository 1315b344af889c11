"""Staging over a damaged store: damaged content is neither reused, served nor kept as staged."""

import errno
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest
from prometheus_client import REGISTRY

from staging_api.db.engine import Database
from staging_api.devserver.symbolication import Symbolication
from staging_api.errors import NotFound, SourceNotAllowed, StoreFailed
from staging_api.formats.minidump import modules
from staging_api.staging.cached_objects import KnownContent
from staging_api.staging.damage import losses_noticed
from staging_api.staging.model import StagedArtifact
from staging_api.staging.packs import Packs
from staging_api.staging.reconcile import SHARDS, check
from staging_api.staging.scrub import Scrub, ScrubResult
from staging_api.staging.upkeep import StoreTerms
from staging_api.store.blob_store import BlobStore
from staging_api.store.opening import open_store
from tests import damage
from tests.buckets import new_bucket, s3_server
from tests.minidumps import elf, minidump
from tests.stagings import Bench, bench, packed

CONTENT = bytes(range(256)) * 100
TERMS = StoreTerms(
    idle_seconds=0,
    noted_seconds=0,
    busy_seconds=0,
    scrub_bytes_per_second=1 << 40,
    scrub_pause_seconds=0,
)

ORDERED = "SELECT sha256 FROM blobs WHERE starts_with(sha256, 'ab') ORDER BY stored_at, sha256"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture(params=["folder", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bucket":
        return new_bucket(request.getfixturevalue("endpoint"))
    return f"file://{tmp_path}/store"


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path, url: str) -> Iterator[Bench]:
    blobs = open_store(url, tmp_path / "home")
    # Each content must be a blob of its own, so that it can be damaged at its digest's name.
    apart = Packs("no")
    with bench(database, database_url, tmp_path, blobs=blobs, store=TERMS, packs=apart) as made:
        yield made


def payload(at: Bench, name: str, content: bytes = CONTENT) -> str:
    """Stage a build that has only a payload, and return the payload's digest."""
    (artifact,) = at.stage(at.build(name, payload_bin=content), "payload").artifacts
    assert (artifact.state, artifact.sha256) == ("staged", hashlib.sha256(content).hexdigest())
    assert artifact.sha256 is not None
    return artifact.sha256


def read(at: Bench, digest: str, size: int = len(CONTENT)) -> bytes:
    """Read a content as a responder does."""
    with losses_noticed(at.service.upkeep, digest, size):
        stream = at.service.blobs.open(digest, size)
    with stream:
        return stream.read()


def states(at: Bench) -> list[tuple[str, str | None]]:
    return at.rows("SELECT state, evict_reason FROM staged_artifacts ORDER BY id")


@pytest.mark.parametrize("by", damage.CHANGED_LENGTHS)
def test_another_build_with_the_content_of_a_damaged_blob_is_staged_whole(
    at: Bench, url: str, by: Callable[[bytes], bytes | None]
) -> None:
    digest, other = payload(at, "R17-1"), payload(at, "R17-2", b"other")
    damage.change(url, digest, by)
    payload(at, "R17-3")
    assert read(at, digest) == CONTENT
    assert read(at, other, 5) == b"other"
    assert at.service.upkeep.space().used == len(CONTENT) + 5


@pytest.mark.parametrize("by", [*damage.CHANGED_LENGTHS, None])
def test_a_cached_object_is_used_only_if_its_blob_is_whole(
    at: Bench, url: str, monkeypatch: pytest.MonkeyPatch, by: Callable[[bytes], bytes] | None
) -> None:
    digest = payload(at, "R17-1")
    if by is not None:
        damage.change(url, digest, by)
    # Like a source that declares the sha256 of its objects.
    said = KnownContent(digest, "sha256", "sha256")
    monkeypatch.setattr("staging_api.staging.work.declared_content", lambda _found: said)
    payload(at, "R17-2")
    held_by = "sha256" if by is None else None
    assert at.rows("SELECT held_by FROM staged_artifacts WHERE archive_url LIKE '%R17-2'") == [
        (held_by,)
    ]
    assert read(at, digest) == CONTENT


@pytest.mark.parametrize("by", damage.CHANGED_LENGTHS)
def test_the_first_read_of_a_lost_blob_evicts_and_the_next_request_restages(
    at: Bench, url: str, by: Callable[[bytes], bytes | None]
) -> None:
    digest, other = payload(at, "R17-1"), payload(at, "R17-2", b"other")
    damage.change(url, digest, by)
    with pytest.raises(NotFound):
        read(at, digest)
    assert states(at) == [("evicted", "lost"), ("staged", None)]
    (archive,) = (u for (u,) in at.rows("SELECT archive_url FROM archives") if "R17-1" in u)
    assert at.service.nothing_left(at.service.check_request(archive, ("payload",))) is None
    assert at.stage(archive, "payload").state == "staged"
    assert read(at, digest) == CONTENT
    assert read(at, other, 5) == b"other"
    at.service.upkeep.collect()
    assert at.service.upkeep.space().used == len(CONTENT) + 5


def test_no_content_is_marked_lost_while_the_store_is_away(at: Bench, url: str, tmp_path) -> None:
    digest = payload(at, "R17-1")
    shard = digest[:2]
    if url.startswith("file:"):
        (tmp_path / "store" / "sha256").rename(tmp_path / "unmounted")
        with pytest.raises(StoreFailed):
            read(at, digest)
        with pytest.raises(StoreFailed):
            check(at.service.upkeep, shard)
        (tmp_path / "unmounted").rename(tmp_path / "store" / "sha256")
    assert states(at) == [("staged", None)]
    assert read(at, digest) == CONTENT


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def turns(at: Bench, scrub: Scrub) -> list[ScrubResult]:
    """Scrub the whole store: one turn for each part that has contents."""
    shards = [shard for (shard,) in at.rows("SELECT DISTINCT left(sha256, 2) FROM blobs")]
    assert shards
    return [scrub.turn(shard) for shard in shards]


def scrubbed(at: Bench, again: list[str] | None = None) -> set[str]:
    """Scrub the whole store again, and return the digests of corrupt contents."""
    staged_again = [] if again is None else again
    scrub = Scrub(at.service.upkeep, lambda artifact: staged_again.append(artifact.archive_url))
    done = turns(at, scrub)
    assert sum(turn.failed for turn in done) == 0
    return {digest for turn in done for digest in turn.corrupt}


def test_a_scrub_finds_every_flipped_bit_and_nothing_else(at: Bench, url: str) -> None:
    members = {f"suites/{n}": b"%d" % n * 20 for n in range(20)}
    at.stage(at.build("R17-1", suites_tgz=packed(members)), "suites")
    at.stage(at.build("R17-2"), "payload", "symbols")
    chosen = [hashlib.sha256(b"%d" % n * 20).hexdigest() for n in (3, 11, 17)]
    assert scrubbed(at) == set()
    for digest in chosen:
        damage.change(url, digest, damage.flipped)
    again: list[str] = []
    assert scrubbed(at, again) == set(chosen)
    assert scrubbed(at) == set()
    assert states(at) == [("evicted", "corrupt"), ("staged", None), ("staged", None)]
    assert [each.rpartition("/")[2] for each in again] == ["R17-1"]
    assert at.stage(again[0], "suites").state == "staged"
    for digest in chosen:
        assert at.service.blobs.has(digest)
    assert scrubbed(at) == set()


def test_an_unreadable_content_stops_no_scrub_and_is_not_called_corrupt(
    at: Bench, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"suites/{n}": b"%d" % n * 20 for n in range(20)}
    at.stage(at.build("R17-1", suites_tgz=packed(members)), "suites")
    unreadable, flipped = (hashlib.sha256(b"%d" % n * 20).hexdigest() for n in (3, 17))
    damage.change(url, flipped, damage.flipped)
    store, real = type(at.service.blobs), type(at.service.blobs).open

    class BadSector(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    def opened(blobs: BlobStore, sha256: str, size_bytes: int | None = None) -> BinaryIO:
        return BadSector() if sha256 == unreadable else real(blobs, sha256, size_bytes)

    monkeypatch.setattr(store, "open", opened)
    scrub = Scrub(at.service.upkeep, lambda _artifact: None)
    done = turns(at, scrub)
    assert sum(turn.failed for turn in done) == 1
    assert [digest for turn in done for digest in turn.corrupt] == [flipped]
    # Only this content remains to be read.
    assert at.rows(
        "SELECT sha256 FROM blobs WHERE checked_at IS NULL AND sha256 <> :f", f=flipped
    ) == [(unreadable,)]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "sector"), NotFound("gone")])
def test_contents_that_cannot_be_read_keep_no_scrub_from_the_rest_of_their_part(
    at: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("staging_api.staging.scrub._AT_ONCE", 2)
    of_part = (b"%d" % n for n in range(10**6) if sha256_of(b"%d" % n).startswith("ab"))
    contents = dict(zip("abcde", of_part, strict=False))
    at.stage(at.build("R17-1", suites_tgz=packed(contents)), "suites")
    digests = [digest for (digest,) in at.rows(ORDERED)]
    assert len(digests) == 5
    unreadable, asked, real = digests[:3], list[str](), type(at.service.blobs).open

    def opened(blobs: BlobStore, sha256: str, size_bytes: int | None = None) -> BinaryIO:
        asked.append(sha256)
        if sha256 in unreadable:
            raise error
        return real(blobs, sha256, size_bytes)

    monkeypatch.setattr(type(at.service.blobs), "open", opened)
    scrub = Scrub(at.service.upkeep, lambda _artifact: None)
    assert sum(scrub.turn("ab").good for _ in range(3)) == 2
    assert sorted(asked) == sorted(digests)
    # The next turn reads these contents again, because they may be readable by then.
    scrub.turn("ab")
    assert asked[5:] == unreadable[:2]


def test_a_single_wrong_read_calls_no_content_corrupt(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contents that seem corrupt are read a second time, and only the second read counts."""
    digest, other = payload(at, "R17-1"), payload(at, "R17-2", b"other")
    store, real = type(at.service.blobs), type(at.service.blobs).open

    def opened(blobs: BlobStore, sha256: str, size_bytes: int | None = None) -> BinaryIO:
        return io.BytesIO(b"wrong") if sha256 == digest else real(blobs, sha256, size_bytes)

    monkeypatch.setattr(store, "open", opened)
    assert scrubbed(at) == set()
    monkeypatch.undo()
    assert states(at) == [("staged", None), ("staged", None)]
    assert (read(at, digest), read(at, other, 5)) == (CONTENT, b"other")


def test_an_artifact_that_cannot_be_restaged_does_not_stop_the_others(at: Bench, url: str) -> None:
    contents = {f"R17-{n}": b"%d" % n * 20 for n in range(3)}
    for name, content in contents.items():
        digest = payload(at, name, content)
        damage.change(url, digest, damage.flipped)
    restaged: list[str] = []

    def stage_again(artifact: StagedArtifact) -> None:
        restaged.append(artifact.archive_url.rpartition("/")[2])
        if len(restaged) == 1:
            raise SourceNotAllowed("the source is not allowed any more")

    scrub = Scrub(at.service.upkeep, stage_again)
    failed = sum(turn.failed for turn in turns(at, scrub))
    assert (sorted(restaged), failed) == (sorted(contents), 0)
    assert states(at) == [("evicted", "corrupt")] * 3


def test_a_scrub_skips_contents_in_removal_and_stops_soon(at: Bench) -> None:
    digest, kept = payload(at, "R17-1"), payload(at, "R17-2", b"other")
    at.tamper(
        "UPDATE blobs SET doomed_at = clock_timestamp(),"
        " removing_until = clock_timestamp() + interval '1 hour' WHERE sha256 = :digest",
        digest=digest,
    )
    stop = threading.Event()
    scrub = Scrub(at.service.upkeep, lambda _artifact: None, stop)
    assert scrub.turn(digest[:2]).good == 0
    stop.set()
    assert scrub.turn(kept[:2]).good == 0
    stop.clear()
    assert scrub.turn(kept[:2]).good == 1


def test_a_scrub_notes_the_time_and_reads_the_longest_unchecked_first(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = {payload(at, "R17-1")[:2], payload(at, "R17-2", b"other")[:2], *SHARDS[::32]}
    monkeypatch.setattr("staging_api.staging.scrub.SHARDS", tuple(sorted(shards)))
    assert at.rows("SELECT count(*) FROM blobs WHERE checked_at IS NOT NULL") == [(0,)]
    scrub = Scrub(at.service.upkeep, lambda _artifact: None)
    name = "staging_store_scrubbed_bytes_total"
    before = REGISTRY.get_sample_value(name) or 0.0
    assert sum(scrub.turn().good for _ in range(len(shards))) == 2
    assert REGISTRY.get_sample_value(name) == before + len(CONTENT) + len(b"other")
    assert at.rows("SELECT count(*) FROM blobs WHERE checked_at > stored_at") == [(2,)]
    assert at.rows("SELECT count(*) FROM store_checks WHERE scrubbed_at IS NULL") == [(0,)]


@pytest.mark.parametrize("by", damage.CHANGED_LENGTHS)
def test_truncated_symbols_make_no_stack_trace(
    at: Bench, url: str, tmp_path: Path, by: Callable[[bytes], bytes | None]
) -> None:
    symbols, dump = b"MODULE Linux x86_64 lib.so", tmp_path / "dump"
    dump.write_bytes(minidump([elf("/lib.so", bytes(range(16)))]))
    (path,) = (module.symbol_path for module in modules(dump))
    builds = [
        at.build(name, debug_tgz=packed({f"debug/breakpad/{path}": symbols + name.encode()}))
        for name in ("R17-1", "R17-2")
    ]
    for each in builds:
        at.stage(each, "symbols")
    program = tmp_path / "stackwalk"
    program.write_text('#!/bin/sh\ncat "$2"/*/*/*\n')
    program.chmod(0o755)
    service = at.service
    noticed = partial(losses_noticed, service.upkeep)
    walk = Symbolication(program, service.database, service.blobs, noticed=noticed)
    assert walk.of_build(dump, builds[0]) == symbols + b"R17-1"
    damage.change(url, hashlib.sha256(symbols + b"R17-1").hexdigest(), by)
    with pytest.raises(NotFound, match="stage its artifact again"):
        walk.of_build(dump, builds[0])
    assert states(at) == [("evicted", "lost"), ("staged", None)]
    assert walk.of_build(dump, builds[1]) == symbols + b"R17-2"
    at.stage(builds[0], "symbols")
    assert walk.of_build(dump, builds[0]) == symbols + b"R17-1"
