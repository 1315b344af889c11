"""Release files: their fields and signer, and new ones when these change without new packages."""

import gzip
import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from staging_api.db.engine import Database, open_database
from staging_api.errors import SigningFailed
from staging_api.publishing import signing
from staging_api.publishing.renewal import Renewal
from staging_api.publishing.rows import apt_archives, generations, runs, serving
from staging_api.publishing.run_model import PublisherRun
from staging_api.publishing.signing import SignedRelease, SigningKey, UnsignedRelease
from staging_api.publishing.snapshots import Snapshots
from staging_api.vocabulary.publishing import Operation
from tests.apt_archive_series.life import fake_signature, keys_in
from tests.packages import control_text, deb
from tests.publisher import Shop, find, shop
from tests.rows import execute, select

SUITES = ("stable", "testing")


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        made.set_up({suite: {} for suite in SUITES}, valid_for_seconds=3600)
        made.add("hello")
        signed_with(made, None)
        made.run()
        yield made


@pytest.fixture
def keys(tmp_path: Path) -> list[SigningKey]:
    return [key for key in keys_in(tmp_path / "keys") if key]


def signed_with(shop: Shop, key: SigningKey | None) -> None:
    builder = shop.publisher.builder
    releaser = replace(builder.releaser, key=key, sign=fake_signature)
    shop.publisher = replace(shop.publisher, builder=replace(builder, releaser=releaser))


def signers(shop: Shop) -> list[bytes | None]:
    """Return the first line of InRelease, by suite."""
    found = [find(shop.database, f"dists/{suite}/InRelease") for suite in SUITES]
    return [each.content.partition(b"\n")[0] if each and each.content else None for each in found]


def test_a_key_that_is_set_signs_with_the_next_run_though_nothing_else_changed(
    here: Shop, keys: list[SigningKey]
) -> None:
    assert signers(here) == [None, None]
    known = here.publisher.distributions.signers
    replace(here, name="new").set_up()
    assert known(here.name) == known("new") == {}
    for key in keys:
        signed_with(here, key)
        run = here.run()
        assert (run.counts["generations"], run.notes) == (1, ())
        assert known(here.name) == dict.fromkeys(SUITES, key.fingerprint)
        assert signers(here) == [f"signed by {key.fingerprint}".encode()] * 2
        assert here.run().counts == {}
        assert here.run(careful_indices=True).counts == {}
    signed_with(here, None)
    assert here.run().notes == ("published without a signature: no signing key is configured",)
    assert signers(here) == [None, None]


def test_signatures_are_of_the_time_of_the_database(
    here: Shop, keys: list[SigningKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_at: list[datetime] = []

    def noted(
        release: bytes, key: SigningKey | None, at: datetime
    ) -> SignedRelease | UnsignedRelease:
        signed_at.append(at.replace(microsecond=0))
        return fake_signature(release, key, at)

    signed_with(here, keys[0])
    builder = here.publisher.builder
    releaser = replace(builder.releaser, sign=noted)
    here.publisher = replace(here.publisher, builder=replace(builder, releaser=releaser))
    now = time.time()
    # A day ahead: clients would refuse a Release whose date is in their future.
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    here.run()
    dates = select(here.database, "SELECT dated_at FROM release_files WHERE gone_number IS NULL")
    assert len(signed_at) == len(SUITES)
    assert {*signed_at} == {dated for (dated,) in dates}


def test_a_run_fails_with_an_expired_key_though_nothing_is_new(
    here: Shop, keys: list[SigningKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_with(here, keys[0])
    here.run()
    now = here.archive.seen_at
    monkeypatch.setattr(signing, "expires_at", lambda _key: now)
    operations: tuple[Operation, ...] = ("publish-distro", "publish-ftpmaster")
    for operation in operations:
        with pytest.raises(SigningFailed, match="AAAA has expired"):
            here.run(operation)
    newest = here.publisher.runs.page(limit=1).items[0]
    assert (newest.state, newest.error_code) == ("failed", "signing_failed")
    # It signs nothing, and uploads are not lost by it.
    assert here.run("process-accepted").state == "succeeded"
    # A worker tries every minute, and records no run for that.
    execute(here.database, "UPDATE release_files SET valid_until = now()")
    assert Renewal(here.publisher).once() == []
    newest = here.publisher.runs.page(limit=1).items[0]
    assert newest.operation == "process-accepted"


def test_a_process_without_the_key_leaves_signatures_of_others(
    here: Shop, keys: list[SigningKey], tmp_path: Path
) -> None:
    signed_with(here, keys[0])
    here.run()
    signed_with(here, replace(keys[0], home=tmp_path / "gone"))
    assert here.run().counts == {}
    assert here.run(careful_indices=True).counts == {}
    assert signers(here) == [b"signed by AAAA"] * 2


def test_a_release_without_a_recorded_key_is_signed_again_once(
    here: Shop, keys: list[SigningKey]
) -> None:
    signed_with(here, keys[0])
    here.run()
    execute(here.database, "UPDATE release_files SET signed_by = NULL, modified_at = NULL")
    assert here.run().counts["generations"] == 1
    assert here.run().counts == {}


def nearly_over(shop: Shop, left: str = "20 minutes") -> None:
    execute(
        shop.database,
        f"UPDATE release_files SET valid_until = clock_timestamp() + interval '{left}'",
    )


def expiring(shop: Shop) -> set[str]:
    """Return the suites whose Release expires for clients within half an hour."""
    records = select(
        shop.database,
        "SELECT s.name FROM release_files r JOIN suites s ON s.id = r.suite_id"
        " WHERE r.gone_number IS NULL"
        " AND r.valid_until < clock_timestamp() + interval '30 minutes'",
    )
    return {name for (name,) in records}


def test_a_worker_renews_releases_and_changes_no_packages(
    here: Shop, keys: list[SigningKey]
) -> None:
    signed_with(here, keys[0])
    here.run()
    renewal = Renewal(here.publisher)
    assert renewal.once() == []
    here.add("world")
    here.run("process-accepted")
    nearly_over(here)
    assert renewal.once() == ["example"]
    assert expiring(here) == set()
    assert signers(here) == [b"signed by AAAA"] * 2
    assert here.names() == ["hello 1.0-1"]
    assert renewal.once() == []
    (run,) = (run for run in runs_of_worker(here) if run.notes)
    assert (run.state, run.caller) == ("succeeded", "worker")
    here.run()
    assert here.names() == ["hello 1.0-1", "world 1.0-1"]


def test_a_renewal_leaves_changes_of_a_suite_to_the_next_run(
    here: Shop, keys: list[SigningKey]
) -> None:
    signed_with(here, keys[0])
    here.run()
    here.change("stable", architectures=["amd64", "riscv64"])
    nearly_over(here)
    assert Renewal(here.publisher).once() == ["example"]
    path = "dists/stable/main/binary-riscv64/Packages.gz"
    assert find(here.database, path) is None
    here.run()
    assert here.served(path)
    assert find(here.database, "dists/stable/main/binary-arm64/Packages.gz") is None


def test_a_worker_renews_a_held_suite_within_its_hold(here: Shop, keys: list[SigningKey]) -> None:
    signed_with(here, keys[0])
    first = here.run().generation_id
    here.add("world")
    here.run()
    back = here.hold(first, "stable")
    nearly_over(here)
    assert Renewal(here.publisher).once() == ["example"]
    assert expiring(here) == set()
    assert here.names() == ["hello 1.0-1"]
    here.run(careful=True)
    assert here.names() == ["hello 1.0-1"]
    with here.database.connect() as conn:
        made = runs.find_run(conn, back.run_id or "")
    assert (made.operation, made.purpose, made.state) == ("publish-distro", "go-back", "succeeded")
    assert [each.phase for each in made.phases] == ["release", "go_live"]
    # A Release that was pinned during the hold stays valid past its original expiry.
    execute(here.database, "UPDATE release_files SET valid_until = clock_timestamp()")
    release = snapshot(here, back.id, "Release")
    assert snapshot(here, back.id, "InRelease") == b"signed by AAAA\n" + release
    assert here.names(generation=back.id) == ["hello 1.0-1"]


def runs_of_worker(shop: Shop) -> list[PublisherRun]:
    with shop.database.connect() as conn:
        return [run for run in runs.list_runs(conn, limit=99, after=None) if run.caller == "worker"]


def test_a_worker_with_another_key_changes_nothing_and_warns_once(
    here: Shop, keys: list[SigningKey], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signed_with(here, keys[0])
    here.run()
    nearly_over(here)
    for key in (None, keys[1], replace(keys[0], home=tmp_path / "gone")):
        signed_with(here, key)
        renewal = Renewal(here.publisher)
        caplog.clear()
        assert [renewal.once() for _ in range(3)] == [[], [], []]
        (line,) = [record.getMessage() for record in caplog.records]
        assert "Releases of example will expire" in line
        assert "STAGING_SIGNING_KEY" in line
    assert signers(here) == [b"signed by AAAA"] * 2
    assert expiring(here) == set(SUITES)


def test_a_worker_warns_again_after_a_foreign_renewal_and_renews_its_own(
    here: Shop, keys: list[SigningKey], caplog: pytest.LogCaptureFixture
) -> None:
    signed_with(here, keys[0])
    here.run()
    worker = replace(here, publisher=here.publisher, name="own")
    signed_with(worker, keys[1])
    worker.set_up(valid_for_seconds=3600)
    worker.run()
    renewal = Renewal(worker.publisher)
    for _ in range(2):
        nearly_over(here)
        assert renewal.once() == ["own"]
        here.run()
        assert renewal.once() == []
    warnings = [record.getMessage() for record in caplog.records if "will expire" in record.message]
    assert ["of example will" in line for line in warnings] == [True, True]


def test_the_validity_left_is_reported_by_archive(here: Shop) -> None:
    replace(here, name="without").set_up()
    replace(here, name="without").run()
    with here.database.connect() as conn:
        (left,) = apt_archives.validity_left(conn).items()
    assert left[0] == "example"
    assert 0.9 < left[1] <= 1
    nearly_over(here, "-1 second")
    with here.database.connect() as conn:
        assert apt_archives.validity_left(conn)["example"] < 0


def test_releases_within_one_second_have_different_last_modified(here: Shop) -> None:
    """Releases made within one second get later times than the clock's, which are not sent yet."""
    ahead = "date_trunc('second', clock_timestamp()) + interval '1 hour'"
    execute(here.database, f"UPDATE release_files SET modified_at = {ahead}")
    before = modified(here)
    for n, label in enumerate("abc", start=1):
        here.change(label=label)
        here.run()
        assert modified(here) == before + timedelta(seconds=n)
        served = find(here.database, "dists/stable/Release")
        assert served
        assert served.modified_at is None
    execute(here.database, "UPDATE release_files SET modified_at = modified_at - interval '1 day'")
    here.change(label="d")
    here.run()
    served = find(here.database, "dists/stable/Release")
    assert served
    assert served.modified_at == modified(here)
    assert modified(here).microsecond == 0


def modified(shop: Shop) -> datetime:
    ((found,),) = select(
        shop.database,
        "SELECT max(modified_at) FROM release_files r JOIN suites s ON s.id = r.suite_id"
        " WHERE r.gone_number IS NULL AND s.name = 'stable'",
    )
    assert isinstance(found, datetime)
    return found


def test_a_suite_is_served_under_name_codename_and_alias_and_names_win(
    here: Shop,
) -> None:
    here.change("stable", codename="noble", aliases=["lts"])
    here.change("testing", codename="stable", aliases=["next"])
    here.run()
    for name, suite in {
        "stable": "stable",
        "noble": "stable",
        "lts": "stable",
        "testing": "testing",
        "next": "testing",
    }.items():
        release = here.served(f"dists/{name}/Release").decode()
        assert f"\nSuite: {suite}\n" in release
        assert here.served(f"dists/{name}/main/binary-amd64/Packages.gz")
    with here.database.connect() as conn:
        (live,) = (
            each.id
            for each in generations.list_generations(conn, here.archive.id, limit=9, after=None)
            if each.state == "live"
        )
        listed = [file.path for file in serving.dists_list(conn, here.name, live)]
    assert len(listed) == len(set(listed))
    named = {re.match(r"dists/([^/]+)/", path)[1] for path in listed}  # type: ignore[index]
    assert named == {"stable", "noble", "lts", "testing", "next"}


def test_a_suite_is_served_under_its_name_though_an_older_one_has_that_codename(
    here: Shop,
) -> None:
    here.change("stable", codename="testing")
    here.run()
    assert b"Suite: testing\n" in here.served("dists/testing/Release")
    assert b"Codename: testing\n" in here.served("dists/stable/Release")


def test_a_shared_codename_serves_the_first_suite(here: Shop) -> None:
    here.change("stable", codename="noble")
    here.change("testing", codename="noble")
    here.run()
    assert b"Suite: stable\n" in here.served("dists/noble/Release")


def test_a_pinned_generation_stays_valid_while_it_is_kept(
    here: Shop, keys: list[SigningKey]
) -> None:
    signed_with(here, keys[0])
    old = here.run().generation_id
    assert old
    here.add("world")
    here.run()
    assert expiries(here, old) == [True, True]
    execute(here.database, "UPDATE release_files SET valid_until = clock_timestamp()")
    assert expiries(here, old) == [False, False]
    release, in_release = snapshot(here, old, "Release"), snapshot(here, old, "InRelease")
    assert in_release == b"signed by AAAA\n" + release
    assert b"\nDate: " in release
    assert snapshot(here, old, "Release.gpg") == b"signature of AAAA"
    signed_with(here, keys[1])
    assert snapshot(here, old, "InRelease") == b"signed by BBBB\n" + release
    signed_with(here, None)
    assert find_snapshot(here, old, "InRelease") is None
    assert snapshot(here, old, "Release") == release
    # The live generation is renewed by runs.
    assert b"Valid-Until" in here.served("dists/stable/Release")


def test_a_stale_release_is_signed_anew_with_one_connection(
    here: Shop, keys: list[SigningKey], database_url: str
) -> None:
    """With two connections per request, a pool full of such requests would block itself."""
    signed_with(here, keys[0])
    old = here.run().generation_id
    assert old
    here.add("world")
    here.run()
    execute(here.database, "UPDATE release_files SET valid_until = clock_timestamp()")
    with closing(open_database(database_url, pool_size=1)) as single:
        snapshots = Snapshots(single, here.publisher.builder.releaser)
        assert snapshots.served_at(here.name, old, "dists/stable/InRelease") is not None


def expiries(shop: Shop, generation: str) -> list[bool]:
    texts = [snapshot(shop, generation, name) for name in ("Release", "InRelease")]
    return [b"Valid-Until: " in text for text in texts]


def find_snapshot(shop: Shop, generation: str, name: str) -> bytes | None:
    snapshots = Snapshots(shop.database, shop.publisher.builder.releaser)
    found = snapshots.served_at(shop.name, generation, f"dists/stable/{name}")
    return None if found is None else found.content


def snapshot(shop: Shop, generation: str, name: str) -> bytes:
    found = find_snapshot(shop, generation, name)
    assert found is not None
    return found


def test_files_other_than_stale_releases_are_served_unchanged(
    here: Shop, keys: list[SigningKey], tmp_path: Path
) -> None:
    signed_with(here, keys[0])
    old = here.run().generation_id
    here.add("world")
    here.run()
    served = {}
    # Without the key's directory nothing can be signed, so the old Release is served.
    for key, valid in ((keys[0], True), (replace(keys[0], home=tmp_path / "gone"), False)):
        signed_with(here, key)
        if not valid:
            execute(here.database, "UPDATE release_files SET valid_until = clock_timestamp()")
        snapshots = Snapshots(here.database, here.publisher.builder.releaser)
        for generation in (None, old):
            for name in ("Release", "InRelease", "main/binary-amd64/Packages.gz"):
                path = f"dists/stable/{name}"
                found = served[name, generation] = snapshots.served_at(here.name, generation, path)
                assert found is not None
                assert found == find(here.database, path, generation)
    assert all(served[name, None] != served[name, old] for name, _ in served)


def test_an_unsigned_generation_is_signed_when_there_is_a_key(
    here: Shop, keys: list[SigningKey]
) -> None:
    old = here.run(careful_release=True).generation_id
    assert old
    signed_with(here, keys[0])
    here.run()
    assert snapshot(here, old, "InRelease").startswith(b"signed by AAAA\n")


@pytest.mark.parametrize(
    ("release_is_of", "lasting_is_of"),
    [("now() - interval '1 hour'", "created_at"), ("now() + interval '1 hour'", "modified_at")],
)
def test_the_substitute_of_a_stale_release_has_a_later_time(
    here: Shop, keys: list[SigningKey], release_is_of: str, lasting_is_of: str
) -> None:
    """Clients with the stale Release, an hour old or from a fast clock, must get the other."""
    signed_with(here, keys[0])
    old = here.run().generation_id
    assert old
    here.add("world")
    here.run()
    execute(
        here.database,
        "UPDATE release_files SET valid_until = clock_timestamp(),"
        f" modified_at = date_trunc('second', {release_is_of})",
    )
    snapshot(here, old, "InRelease")
    snapshots = Snapshots(here.database, here.publisher.builder.releaser)
    found = snapshots.served_at(here.name, old, "dists/stable/InRelease")
    assert found is not None
    ((later,),) = select(
        here.database,
        "SELECT date_trunc('second', CASE :which WHEN 'created_at' THEN l.created_at"
        " ELSE f.modified_at + interval '1 second' END) FROM lasting_releases l"
        " JOIN release_files f ON f.id = l.release_id WHERE l.name = 'InRelease'".replace(
            ":which", f"'{lasting_is_of}'"
        ),
    )
    assert found.modified_at == later


def test_lasting_releases_are_dropped_with_their_generation(
    here: Shop, keys: list[SigningKey]
) -> None:
    signed_with(here, keys[0])
    old = here.run().generation_id
    assert old
    here.add("world")
    here.run()
    execute(here.database, "UPDATE release_files SET valid_until = clock_timestamp()")
    snapshot(here, old, "InRelease")
    assert select(here.database, "SELECT count(*) FROM lasting_releases") == [(3,)]
    execute(
        here.database, "UPDATE dists_generations SET retired_at = retired_at - interval '2 days'"
    )
    here.run()
    assert select(here.database, "SELECT count(*) FROM lasting_releases") == [(0,)]


def test_a_release_lists_components_of_several_segments_and_those_of_the_installer(
    here: Shop,
) -> None:
    components = ["updates/main", "mysql-8.0", "updates", "own/extra"]
    here.change("testing", components=components)
    for name in components:
        package = deb(control_text(f"of-{name.replace('/', '-')}"))
        here.upload(package, suite="testing", component=name)
    udeb = deb(control_text("small", Package_Type="udeb"))
    here.upload(udeb, suite="testing", component="updates/main", ending="udeb")
    here.run()
    text = here.served("dists/testing/Release").decode()
    assert "\nComponents: updates/main mysql-8.0 updates own/extra\n" in text
    assert "\nArchitectures: amd64 arm64\n" in text
    for folder in (*components, "updates/main/debian-installer"):
        assert f" {folder}/binary-amd64/Packages.gz\n" in text
        plain = gzip.decompress(here.served(f"dists/testing/{folder}/binary-amd64/Packages.gz"))
        (path,) = re.findall(r"Filename: (.*)", plain.decode())
        assert path.startswith(f"pool/{folder.removesuffix('/debian-installer')}/")
        assert here.served(path)
    assert "\nComponents: main contrib\n" in here.served("dists/stable/Release").decode()
