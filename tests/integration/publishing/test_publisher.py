"""Publisher runs: packages published, packages left unchanged, and packages that end."""

import errno
import gzip
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from staging_api.errors import Conflict, HookFailed, LockLost, NotFound, PackageInvalid
from staging_api.locks.keeper import Hold
from staging_api.publishing.pieces import BlockReader
from staging_api.publishing.rows import apt_archives, generations, packages, uploads
from tests.factories import ORIGIN
from tests.packages import control_text, deb, dsc, source_file
from tests.publisher import ARCHIVE, Shop, find, shop, time_passes
from tests.rows import dump, execute, select


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        yield made


def in_release(shop: Shop) -> bytes:
    return shop.served("dists/stable/Release")


def test_an_upload_becomes_a_package_that_clients_see(here: Shop) -> None:
    here.set_up()
    raw = deb(control_text("hello"))
    (upload,) = here.upload(raw)
    assert (upload.state, upload.package, upload.sha256) == (
        "accepted",
        "hello",
        hashlib.sha256(raw).hexdigest(),
    )
    run = here.run()
    assert run.state == "succeeded"
    assert run.counts["published"] == run.counts["generations"] == 1
    assert here.names() == ["hello 1.0-1"]
    assert here.served("pool/main/h/hello/hello_1.0-1_amd64.deb") == raw


def test_each_operation_does_its_part(here: Shop) -> None:
    here.set_up()
    here.add("hello")
    assert here.run("publish-distro").counts["generations"] == 1
    assert here.names() == []
    here.run("process-accepted")
    assert here.names() == []
    here.run("publish-distro")
    assert here.names() == ["hello 1.0-1"]


def test_nothing_new_writes_nothing(here: Shop) -> None:
    here.set_up()
    here.add("hello")
    here.run()
    before = dump(here.database)
    run = here.run()
    after = dump(here.database)
    assert run.counts == {}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"publisher_runs", "run_phases", "api_locks", "lock_scopes"}


@pytest.mark.parametrize("careful", ["careful_indices", "careful_domination", "careful_publishing"])
def test_a_full_rebuild_of_a_correct_archive_changes_nothing(here: Shop, careful: str) -> None:
    here.set_up()
    here.add(*(f"package-{n}" for n in range(300)))
    here.run()
    here.add("package-7", "package-8", version="2.0")
    here.run()
    before = in_release(here)
    assert "generations" not in here.run("publish-ftpmaster", **{careful: True}).counts
    assert in_release(here) == before


def test_incremental_index_files_equal_a_full_rebuild(here: Shop) -> None:
    here.set_up()
    here.add(*(f"package-{n:03}" for n in range(400)), architecture="all")
    here.run()
    for version in ("2", "3", "4"):
        here.add("package-007", "package-390", "zzz", version=version)
        here.run()
    current = "FROM index_files WHERE gone_number IS NULL"
    query = f"SELECT path, form, sha256 {current} ORDER BY 1, 2"
    before = select(here.database, query)
    execute(
        here.database,
        f"UPDATE index_files SET sha256 = repeat('0', 64) WHERE id IN (SELECT id {current})",
    )
    here.run(careful_indices=True)
    assert select(here.database, query) == before


def test_every_listed_hash_is_that_of_the_file(here: Shop) -> None:
    here.set_up(forms=["plain", "gz", "xz", "zst"])
    here.add("hello", "world")
    here.run()
    here.add("hello", version="2")
    here.run()
    here.reader = BlockReader(here.database)  # the lock of another process
    lines = in_release(here).decode().partition("SHA256:\n")[2].split("\n")
    listed = [line.split() for line in lines if line]
    assert len(listed) == 2 * 3 * 4
    for digest, size, path in listed:
        content = here.served(f"dists/stable/{path}")
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, int(size))
        folder = path.rpartition("/")[0]
        assert here.served(f"dists/stable/{folder}/by-hash/SHA256/{digest}") == content


def test_an_index_file_is_found_by_hash_in_its_own_folder_only(here: Shop) -> None:
    other = replace(here, name="other")
    for each in (here, other):
        each.set_up({"stable": {}, "testing": {}})
    here.add("hello")
    here.run()
    other.run()
    content = here.served("dists/stable/main/binary-amd64/Packages.gz")
    name = f"by-hash/SHA256/{hashlib.sha256(content).hexdigest()}"
    own = f"dists/stable/main/binary-amd64/{name}"
    assert here.served(own) == content
    for path, lasting in {
        own: True,
        "dists/stable/main/binary-amd64/Packages.gz": False,
        "dists/stable/Release": False,
        "pool/main/h/hello/hello_1.0-1_amd64.deb": True,
    }.items():
        found = find(here.database, path)
        assert (found and found.lasting) == lasting, path
    assert find(here.database, own, archive="other") is None
    for folder in (
        "testing/main/binary-amd64",
        "stable/contrib/binary-amd64",
        "stable/main/binary-arm64",
        "stable/main",
    ):
        assert find(here.database, f"dists/{folder}/{name}") is None
    here.change(publish_by_hash=False, advertise_by_hash=False)
    assert find(here.database, own) is None


def test_nothing_is_found_beside_the_paths_of_an_archive(here: Shop) -> None:
    here.set_up()
    here.run()
    for path in ("Release", "main/binary-amd64/Packages.gz"):
        assert here.served(f"dists/stable/{path}")
        for top in ("", "/", "stable/", "other/stable/", "pool/stable/", "dists/", "dists//"):
            assert find(here.database, top + path) is None, top
    for path in ("", "dists", "dists/stable", "dists/stable/", "dists/stable/main/Release", "pool"):
        assert find(here.database, path) is None, path


UNNAMED_LAYOUTS = "SELECT sha256 FROM index_layouts EXCEPT SELECT layout FROM index_files"
UNNAMED_BLOCKS = "SELECT sha256 FROM index_blocks EXCEPT SELECT unnest(blocks) FROM index_layouts"


def test_old_files_stay_by_hash_until_their_time_is_over(here: Shop) -> None:
    here.set_up()
    here.add("hello")
    here.run()
    path = "dists/stable/main/binary-amd64/Packages.gz"
    old = here.served(path)
    by_hash = f"dists/stable/main/binary-amd64/by-hash/SHA256/{hashlib.sha256(old).hexdigest()}"
    here.add("world")
    here.run()
    assert here.served(path) != old
    assert here.served(by_hash) == old
    time_passes(here.database, "1 day 3 hours")
    run = here.run()
    assert (run.counts["reaped"], run.phases[-1].phase) == (1, "tidy")
    assert find(here.database, by_hash) is None
    assert select(here.database, UNNAMED_LAYOUTS) == select(here.database, UNNAMED_BLOCKS) == []
    assert here.names() == ["hello 1.0-1", "world 1.0-1"]


def test_a_newer_version_supersedes_and_the_older_file_leaves_the_pool_after_quarantine(
    here: Shop,
) -> None:
    here.set_up()
    here.add("hello")
    here.run()
    here.add("hello", version="2.0")
    assert here.run().counts["superseded"] == 1
    assert here.names() == ["hello 2.0"]
    old = "pool/main/h/hello/hello_1.0-1_amd64.deb"
    assert find(here.database, old)
    time_passes(here.database)
    here.run()
    assert find(here.database, old) is None
    assert find(here.database, "pool/main/h/hello/hello_2.0_amd64.deb")


def test_careful_domination_looks_at_packages_that_did_not_change(here: Shop) -> None:
    here.set_up()
    here.add("hello", version="2.0")
    here.run()
    # As if the older version had been published beside the newer one.
    here.upload(deb(control_text("hello", "1.0")))
    here.run("process-accepted")
    published = "UPDATE package_publications SET state = 'published', published_at = now()"
    execute(here.database, published)
    assert "superseded_at_once" not in here.run(careful_indices=True).counts
    assert here.run(careful_domination=True).counts["superseded_at_once"] == 1
    assert here.names() == ["hello 2.0"]


def test_a_file_that_a_pinned_generation_lists_stays(here: Shop) -> None:
    here.set_up()
    here.add("hello")
    generation = here.run().generation_id
    assert generation
    with here.database.begin() as conn:
        assert generations.set_pin(conn, generation, "tester", pinned=True)
    here.add("hello", version="2.0")
    here.run()
    time_passes(here.database)
    here.run()
    assert find(here.database, "pool/main/h/hello/hello_1.0-1_amd64.deb")
    assert here.names(generation=generation) == ["hello 1.0-1"]
    with here.database.begin() as conn:
        generations.set_pin(conn, generation, "tester", pinned=False)
    here.run()
    time_passes(here.database)
    here.run()
    assert find(here.database, "pool/main/h/hello/hello_1.0-1_amd64.deb") is None


def test_a_copy_of_a_generation_that_is_not_kept_is_not_found(here: Shop) -> None:
    other = replace(here, name="other")
    replace(here, name="empty").set_up()
    for each in (here, other):
        each.set_up()
        each.add("hello")
        each.run()
    assert [each.archive for each in here.publisher.distributions.all()] == [here.name, "other"]
    files = partial(here.publisher.distributions.files, part="dists", after="", limit=9)
    foreign = other.publisher.distributions.find("other").live.id
    assert files("other", generation_id=foreign).items
    for generation in (foreign, "0" * 26):
        with pytest.raises(NotFound):
            files(here.name, generation_id=generation)
    old = here.publisher.distributions.find(here.name).live.id
    here.add("world")
    here.run()
    assert files(here.name, generation_id=old).items
    time_passes(here.database)
    here.run()
    with pytest.raises(NotFound):
        files(here.name, generation_id=old)


def test_a_rollback_shows_old_packages_until_it_is_lifted(here: Shop) -> None:
    here.set_up()
    here.add("hello")
    first = here.run().generation_id
    assert first
    here.add("hello", version="2.0")
    here.run()
    back = here.publisher.go_back(ARCHIVE, first, ORIGIN).live
    assert here.names() == ["hello 1.0-1"]
    assert back.content_number == 1
    assert here.run().counts == {}
    assert here.names() == ["hello 1.0-1"]
    here.add("world")
    here.run()
    assert here.names() == ["hello 2.0", "world 1.0-1"]
    assert select(here.database, "SELECT number, state FROM dists_generations ORDER BY 1") == [
        (1, "retired"),
        (2, "retired"),
        (3, "retired"),
        (4, "live"),
    ]


def test_more_packages_than_one_generation_may_add_are_published_by_the_same_run(
    here: Shop,
) -> None:
    here.set_up()
    here.add("aa", "bb", "cc", "dd", "ee")
    assert here.publisher.at_once == 10_000, "as the page on the publisher says"
    here.publisher = replace(here.publisher, at_once=2)
    run = here.run()
    assert (run.counts["published"], run.counts["generations"]) == (5, 3)
    assert here.names() == [f"{name} 1.0-1" for name in ("aa", "bb", "cc", "dd", "ee")]
    here.add("ff", "gg")
    assert here.run().counts["generations"] == 1
    assert here.run().counts == {}


def test_planner_statistics_are_renewed_before_many_new_packages_are_compared(here: Shop) -> None:
    """With the old statistics the planner would compare each package with every other."""
    known = "SELECT reltuples FROM pg_class WHERE relname = 'package_publications'"
    there = "SELECT count(*) FROM package_publications"
    at_step: dict[str, bool] = {}

    def reached(step: str) -> None:
        at_step[step] = select(here.database, known) == select(here.database, there)

    here.set_up()
    here.publisher = replace(here.publisher, many=3, reached=reached)
    here.add("aa", "bb", "cc")
    here.run()
    assert at_step["dominate"]


def test_planner_statistics_are_renewed_after_generations_that_are_many_together(
    here: Shop,
) -> None:
    known = "SELECT reltuples FROM pg_class WHERE relname = 'package_publications'"
    here.set_up()
    here.publisher = replace(here.publisher, at_once=2, many=4)
    execute(here.database, "ANALYZE package_publications")
    here.add("aa", "bb", "cc", "dd", "ee")
    here.run()
    assert select(here.database, known) == [(5,)]


def test_one_broken_upload_among_many_stops_no_other(here: Shop) -> None:
    here.set_up()
    here.add(*(f"package-{n}" for n in range(20)))
    execute(here.database, "UPDATE uploads SET component = 'gone' WHERE name = '7.deb'")
    run = here.run()
    assert (run.counts["published"], run.counts["not_accepted"]) == (19, 1)
    left = [note for note in run.notes if "was left for later" in note]
    assert [note.endswith(": the suite stable has no component gone") for note in left] == [True]
    assert len(here.names()) == 19
    broken = "SELECT state, attempts, error_message FROM uploads WHERE name = '7.deb'"
    assert select(here.database, broken) == [
        ("accepted", 1, "the suite stable has no component gone")
    ]
    others = "SELECT DISTINCT state, attempts, error_message FROM uploads WHERE name <> '7.deb'"
    assert select(here.database, others) == [("done", 0, None)]
    execute(here.database, "UPDATE uploads SET component = 'main' WHERE name = '7.deb'")
    here.run()
    assert len(here.names()) == 20


def test_a_file_that_is_gone_from_the_store_holds_back_only_its_package(here: Shop) -> None:
    here.set_up()
    raw = deb(control_text("hello"))
    here.upload(raw)
    here.add("world")
    here.publisher.blobs.remove(hashlib.sha256(raw).hexdigest())
    run = here.run()
    assert here.names() == ["world 1.0-1"]
    missing = "pool/main/h/hello/hello_1.0-1_amd64.deb is not in the store"
    assert run.notes[0] == missing
    reasons = "SELECT package, error_message FROM package_publications ORDER BY package"
    assert select(here.database, reasons) == [("hello", missing), ("world", None)]
    here.send({"a.deb": raw})
    here.run()
    assert here.names() == ["hello 1.0-1", "world 1.0-1"]


@pytest.mark.parametrize("lost", range(3))
def test_a_source_with_one_lost_file_is_held_back_whole(here: Shop, lost: int) -> None:
    here.set_up({"stable": {}, "testing": {}})
    files = {"hello_1.0.orig.tar.gz": b"orig", "hello_1.0-1.debian.tar.xz": b"debian"}
    files |= {"hello_1.0-1.dsc": dsc([source_file(*each) for each in files.items()]).encode()}
    here.send(files)
    here.send({"a.deb": deb(control_text("world"))}, suite="testing")
    here.publisher.blobs.remove(hashlib.sha256(list(files.values())[lost]).hexdigest())
    run = here.run()
    sources = "dists/stable/main/source/Sources.gz"
    assert gzip.decompress(here.served(sources)) == b""
    assert here.names("testing") == ["world 1.0-1"]
    assert [note for note in run.notes if list(files)[lost] in note]
    here.send(files)
    here.run()
    assert b"Version: 1.0-1" in gzip.decompress(here.served(sources))


def test_the_same_name_with_another_content_is_refused_when_it_is_sent(here: Shop) -> None:
    here.set_up()
    here.add("hello")
    with pytest.raises(Conflict, match="another content"):
        here.upload(deb(control_text("hello"), holds="other"))
    assert here.run().counts["published"] == 1


def test_the_same_package_twice_is_published_once(here: Shop) -> None:
    here.set_up()
    here.add("hello")
    here.add("hello")
    here.run()
    here.add("hello")
    here.run()
    assert select(here.database, "SELECT count(*) FROM package_publications") == [(1,)]
    assert select(here.database, "SELECT DISTINCT state FROM uploads") == [("done",)]


def test_a_hostile_package_is_rejected_with_its_reason(here: Shop) -> None:
    here.set_up()
    with pytest.raises(PackageInvalid, match="not an ar archive"):
        here.upload(b"not a package")
    sent = here.upload(deb(control_text("hello")), deb("Package: ../../etc\nVersion: 1\n"))
    assert [u.state for u in sent] == ["accepted", "rejected"]
    assert "Architecture" in (sent[1].error_message or "") or "package name" in (
        sent[1].error_message or ""
    )


def test_uploads_wait_for_a_decision_where_the_suite_says_so(here: Shop) -> None:
    here.set_up({"stable": {"auto_accept": False}})
    (first,) = here.upload(deb(control_text("hello")))
    assert first.state == "new"
    here.run()
    assert here.names() == []
    with here.database.begin() as conn:
        uploads.decide(conn, first.id, state="accepted", before=["new"], caller="ada", reason="")
    here.run()
    assert here.names() == ["hello 1.0-1"]
    (second,) = here.upload(deb(control_text("hello", "2.0")))
    assert second.state == "unapproved"


def test_sources_are_listed_with_their_files(here: Shop) -> None:
    here.set_up()
    files = {"hello_1.0.orig.tar.gz": b"orig", "hello_1.0-1.debian.tar.xz": b"debian"}
    text = dsc([source_file(*each) for each in files.items()])
    (sent,) = here.send({"hello_1.0-1.dsc": text.encode(), **files})
    assert (sent.name, sent.state) == ("hello_1.0-1.dsc", "accepted")
    more = {"hello_1.0-2.debian.tar.xz": b"debian 2"}
    listed = [source_file("hello_1.0.orig.tar.gz", b"orig"), source_file(*next(iter(more.items())))]
    here.send({"hello_1.0-2.dsc": dsc(listed, version="1.0-2").encode(), **more})
    here.run()
    sources = gzip.decompress(here.served("dists/stable/main/source/Sources.gz")).decode()
    assert "Version: 1.0-2" in sources
    assert "hello_1.0.orig.tar.gz" in sources
    assert "Version: 1.0-1" not in sources
    assert here.served("pool/main/h/hello/hello_1.0.orig.tar.gz") == b"orig"


def revision(version: str) -> dict[str, bytes]:
    """Return the files of a source package; all revisions share one upstream tar."""
    files = {"hello_1.0.orig.tar.gz": b"orig", f"hello_{version}.debian.tar.xz": version.encode()}
    text = dsc([source_file(*each) for each in files.items()], version=version)
    return {f"hello_{version}.dsc": text.encode(), **files}


def test_a_superseded_source_stays_in_a_suite_while_its_binaries_do(here: Shop) -> None:
    here.set_up({"stable": {}, "testing": {}})
    here.upload(deb(control_text("hello", "1.0-1")))
    for version in ("1.0-1", "1.0-2"):
        for suite in ("stable", "testing"):
            here.send(revision(version), suite=suite)
        here.run()
    removed = (
        "SELECT s.name FROM package_publications p JOIN suites s ON s.id = p.suite_id"
        " WHERE p.source_release_id IS NOT NULL AND p.removed_at IS NOT NULL ORDER BY s.name"
    )
    for _ in range(2):
        time_passes(here.database)
        here.run()
    assert select(here.database, removed) == [("testing",)]
    assert here.served("pool/main/h/hello/hello_1.0-1.dsc")
    here.upload(deb(control_text("hello", "1.0-2")))
    for _ in range(3):
        here.run()
        time_passes(here.database)
    here.run()
    assert select(here.database, removed) == [("stable",), ("testing",)]
    assert find(here.database, "pool/main/h/hello/hello_1.0-1.dsc") is None
    assert here.served("pool/main/h/hello/hello_1.0.orig.tar.gz") == b"orig"


def hook(folder: Path, stage: str, body: str) -> Path:
    path = folder / f"{stage}.d" / "10-test"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return folder


def test_a_hook_before_going_live_can_stop_the_run(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    hooks = hook(tmp_path / "hooks", "before", "echo no; exit 3")
    with shop(database, database_url, tmp_path, hooks=hooks) as here:
        here.set_up()
        here.add("hello")
        with pytest.raises(HookFailed, match="ended with 3: no"):
            here.run()
        assert find(database, "dists/stable/Release") is None
        assert select(database, "SELECT state FROM dists_generations") == [("abandoned",)]
        assert select(database, "SELECT state, error_code FROM publisher_runs") == [
            ("failed", "hook_failed")
        ]
        assert seen(here) == [("published", False)]
        hook(tmp_path / "hooks", "before", 'test "$STAGING_ARCHIVE" = example')
        assert here.run().state == "succeeded"
        assert here.names() == ["hello 1.0-1"]
        assert seen(here) == [("published", True)]
        here.add("hello", version="2.0")
        here.run()
        assert seen(here) == [("superseded", False), ("published", True)]
        here.hold(first_generation(database))
        assert seen(here) == [("superseded", True), ("published", False)]


def seen(shop: Shop) -> list[tuple[str, bool]]:
    """Return the state of each package, and whether clients see it."""
    with shop.database.connect() as conn:
        found = packages.list_package_publications(conn, shop.archive.id, limit=9)
    return [(each.state, each.listed) for each in found]


def first_generation(database: Database) -> str:
    query = "SELECT id FROM dists_generations WHERE live_at IS NOT NULL ORDER BY number LIMIT 1"
    return str(select(database, query)[0][0])


def test_a_run_that_loses_the_lock_ends_its_hook(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    hooks = hook(tmp_path / "hooks", "before", f"touch {begun}; exec sleep 600")
    with shop(database, database_url, tmp_path, hooks=hooks) as here:
        here.set_up()
        here.add("hello")
        monkeypatch.setattr(Hold, "lost", property(lambda _hold: begun.exists()))
        with pytest.raises(LockLost):
            here.run()
        monkeypatch.undo()
        assert select(database, LAST_RUN) == [("running",)]
        assert find(database, "dists/stable/Release") is None


def test_a_run_without_hooks_starts_none(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    hook(tmp_path / "hooks", "before", "exit 3")
    with shop(
        database, database_url, tmp_path, hooks=hook(tmp_path / "hooks", "after", "exit 4")
    ) as here:
        here.set_up()
        here.add("hello")
        here.run("process-accepted")
        run = here.run("publish-distro")
        assert (run.state, list(run.hooks)) == ("succeeded", [])
        assert here.names() == ["hello 1.0-1"]


def test_suites_of_security_fixes_go_live_before_the_others(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    for stage in ("before", "after"):
        hooks = hook(tmp_path / "hooks", stage, f'echo "{stage} $STAGING_SUITES" >> {seen}')
    with shop(database, database_url, tmp_path, hooks=hooks) as here:
        here.set_up({"stable": {}, "stable-security": {}, "other-security": {}})
        here.run()
        seen.unlink()
        here.add("hello")
        here.upload(deb(control_text("fix")), suite="stable-security")
        assert here.run().counts["generations"] == 2
        assert seen.read_text().splitlines() == [
            *("before stable-security", "after stable-security", "before stable", "after stable")
        ]
        here.add("world")
        here.upload(deb(control_text("later")), suite="stable-security")
        assert here.run(suites=("stable", "other-security")).counts["generations"] == 1
        assert here.names("stable-security") == ["fix 1.0-1"]
        left = "SELECT state FROM package_publications WHERE package = 'later'"
        assert select(database, left) == [("pending",)]


def test_a_run_goes_on_after_suites_of_security_fixes_until_the_others_are_live(
    here: Shop,
) -> None:
    states: list[str] = []

    def reached(step: str) -> None:
        if step == "live":
            states.extend(state for (state,) in select(here.database, LAST_RUN))

    here.set_up({"stable": {}, "stable-security": {}})
    here.publisher = replace(here.publisher, reached=reached)
    here.run()
    assert states == ["running", "succeeded"]


LAST_RUN = "SELECT state FROM publisher_runs ORDER BY id DESC LIMIT 1"


def test_a_hook_that_fails_after_going_live_is_recorded(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    hooks = hook(tmp_path / "hooks", "after", "printf x%0500d 0; exit 1")
    with shop(database, database_url, tmp_path, hooks=hooks) as here:
        here.set_up()
        here.add("hello")
        run = here.run()
        assert (run.state, run.error_code) == ("published_hook_failed", "hook_failed")
        assert run.error_message == "the hook after.d/10-test ended with 1: " + "0" * 500
        assert [(h.stage, h.exit_code) for h in run.hooks] == [("after", 1)]
        assert here.names() == ["hello 1.0-1"]


def test_hooks_that_cannot_be_read_fail_a_run_that_went_live_as_hooks(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = hook(tmp_path / "hooks", "before", "true")
    listed = os.listdir

    def refused(directory: Path) -> list[str]:
        if directory == hooks / "after.d":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(directory)

    monkeypatch.setattr(os, "listdir", refused)
    with shop(database, database_url, tmp_path, hooks=hooks) as here:
        here.set_up()
        here.add("hello")
        run = here.run()
        assert (run.state, run.error_code) == ("published_hook_failed", "hook_failed")
        assert [(h.stage, h.name, h.exit_code) for h in run.hooks] == [
            ("before", "10-test", 0),
            ("after", "after.d", None),
        ]
        assert here.names() == ["hello 1.0-1"]


def test_without_a_key_the_run_says_that_nothing_was_signed(here: Shop) -> None:
    here.set_up()
    assert "no signing key" in here.run().notes[0]
    assert find(here.database, "dists/stable/InRelease") is None


def test_a_suite_that_got_dirty_while_it_was_published_stays_dirty(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    def meanwhile(step: str) -> None:
        if step == "go_live":
            execute(
                database, "UPDATE suites SET dirty_since = clock_timestamp(), description = 'x'"
            )

    with shop(database, database_url, tmp_path, reached=meanwhile) as here:
        here.set_up()
        here.run()
        assert b"Description: x" not in in_release(here)
        assert select(database, "SELECT dirty_since IS NULL FROM suites") == [(False,)]
        assert here.run().counts["generations"] == 1
        assert b"Description: x" in in_release(here)


def test_a_package_deleted_while_it_was_published_is_gone_after_the_next_run(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    def meanwhile(step: str) -> None:
        if step == "release":
            with database.begin() as conn:
                archive = apt_archives.find_apt_archive(conn, ARCHIVE)
                (one,) = packages.list_package_publications(conn, archive.id, limit=5)
                packages.delete_package_publication(conn, archive.id, one.id, "ada", "a mistake")

    with shop(database, database_url, tmp_path, reached=meanwhile) as here:
        here.set_up()
        here.add("hello")
        here.run("process-accepted")
        here.run("publish-distro")
        assert here.names() == ["hello 1.0-1"]
    with shop(database, database_url, tmp_path) as here:
        here.run()
        assert here.names() == []
