"""Suite holds: an older state of a suite, until it is lifted or an upload to it is accepted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from staging_api.db.audit_queries import answered, audit_queries
from staging_api.db.engine import Database
from staging_api.errors import Conflict, Invalid, NotFound
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.rows import apt_archives, generations, packages
from staging_api.publishing.uploads import UploadService
from tests.factories import ORIGIN
from tests.packages import control_text, deb
from tests.publisher import Shop, find, shop, time_passes
from tests.rows import execute, select


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    """Yield two suites with hello 2.0 in place of 1.0-1; `first` is the state before that."""
    with shop(database, database_url, tmp_path) as made:
        made.set_up({"stable": {}, "testing": {}}, valid_for_seconds=3600)
        send(made, "1.0-1")
        made.run()
        send(made, "2.0")
        made.run()
        yield made


def send(shop: Shop, version: str, *suites: str, name: str = "hello") -> str | None:
    for suite in suites or ("stable", "testing"):
        (upload,) = shop.upload(deb(control_text(name, version)), suite=suite)
    return upload.note


def first(shop: Shop) -> str:
    ((generation,),) = select(shop.database, "SELECT id FROM dists_generations WHERE number = 1")
    return str(generation)


def held(shop: Shop) -> set[str]:
    return {suite.name for suite in shop.archive.suites if suite.held}


def test_a_held_suite_is_unchanged_by_any_run(here: Shop) -> None:
    here.hold(first(here), "stable")
    seen = here.served("dists/stable/Release")
    for options in ({}, {"careful": True}, {"careful_indices": True}, {"suites": ("stable",)}):
        here.run(**options)
        assert here.names() == ["hello 1.0-1"]
    here.change(label="another")
    here.change("stable", description="of old")
    here.run()
    assert here.names() == ["hello 1.0-1"]
    assert here.served("dists/stable/Release") != seen
    assert b"Label: another\n" in here.served("dists/stable/Release")
    assert here.names("testing") == ["hello 2.0"]


def test_valid_until_is_renewed_and_the_withdrawn_version_stays_away(here: Shop) -> None:
    here.hold(first(here), "stable")
    soon = "clock_timestamp() + interval '20 minutes'"
    execute(here.database, f"UPDATE release_files SET valid_until = {soon}")
    assert here.run().counts["generations"] == 1
    late = f"SELECT 1 FROM release_files WHERE gone_number IS NULL AND valid_until <= {soon}"
    assert select(here.database, late) == []
    assert here.names() == ["hello 1.0-1"]
    assert here.names("testing") == ["hello 2.0"]


def test_other_suites_are_published_during_a_hold_and_a_lift_shows_everything(
    here: Shop,
) -> None:
    here.hold(first(here), "stable")
    send(here, "1.0", "testing", name="world")
    here.run()
    assert here.names("testing") == ["hello 2.0", "world 1.0"]
    assert here.names() == ["hello 1.0-1"]
    assert here.publisher.lift(here.name, ("stable",), caller="ada") == ["stable"]
    assert here.names() == ["hello 1.0-1"]
    here.run()
    assert here.names() == ["hello 2.0"]
    assert here.run(careful=True).counts.get("index_files", 0) == 0


def test_which_generation_was_held_and_why_is_known_after_the_lift(here: Shop) -> None:
    here.publisher.go_back(here.name, first(here), ORIGIN, suites=("stable",), reason="it crashes")
    here.hold(None, "testing")
    here.publisher.lift(here.name, caller="ada")
    runs = here.publisher.runs.page(limit=2).items
    at_first, at_live = (run.notes[-1] for run in reversed(runs))
    assert at_first == f"held at generation 1 ({first(here)}): stable: it crashes"
    assert at_live.startswith("held at generation 3 (")
    assert at_live.endswith("): testing")


def test_who_decided_what_about_an_archive_is_an_audit_question(here: Shop) -> None:
    archives, uploads = AptArchiveService(here.database), UploadService(here.database)
    archives.create({"name": "new"}, [{"name": "stable"}], "ann")
    archives.change("new", {"label": "x"}, "ben")
    archives.add_suite("new", {"name": "next"}, "cid")
    archives.change_suite("new", "next", {"auto_accept": False}, "dan")
    new = replace(here, name="new")
    (first_sent,) = new.upload(deb(control_text("hello")), suite="next")
    uploads.accept(first_sent.id, "eve", "asked for")
    uploads.reject(first_sent.id, "fay", "a mistake")
    new.upload(deb(control_text("world")))
    new.run()
    generation = new.publisher.distributions.find("new").live.id
    new.publisher.distributions.set_pin(generation, "gus", pinned=True)
    new.publisher.distributions.set_pin(generation, "hal", pinned=False)
    new.publisher.go_back("new", None, ORIGIN, suites=("stable",), reason="freeze")
    new.publisher.lift("new", caller="ida")
    (question,) = (each for each in audit_queries() if each.name == "archives")
    with answered(here.database, question, {}) as (_, rows):
        found = [row[2:] for row in rows if row[1] == "new"]
    assert [(caller, what) for caller, what, _ in found] == [
        ("ann", "create"),
        ("ben", "change"),
        ("cid", "add-suite"),
        ("dan", "change-suite"),
        ("eve", "accept"),
        ("fay", "reject"),
        (ORIGIN.caller, "publish-ftpmaster"),
        ("gus", "pin"),
        ("hal", "unpin"),
        (ORIGIN.caller, "go-back"),
        ("ida", "lift"),
    ]
    assert found[3][2] == {"suite": {"name": "next", "auto_accept": False}}
    assert found[4][2] == {"upload": first_sent.id, "reason": "asked for"}
    lifted = found[-1][2]
    assert (lifted["suite"], lifted["generation"]) == ("stable", generation)
    assert (lifted["held_by"], lifted["reason"]) == (ORIGIN.caller, "freeze")


def test_an_upload_lifts_its_own_suite_and_says_so(here: Shop) -> None:
    here.hold(first(here))
    assert held(here) == {"stable", "testing"}
    note = send(here, "1.0", "testing", name="world")
    assert note is not None
    assert "testing was held at older packages, which this lifts" in note
    assert held(here) == {"stable"}
    here.run()
    assert here.names("testing") == ["hello 2.0", "world 1.0"]
    assert here.names() == ["hello 1.0-1"]


def test_an_upload_that_waits_for_a_decision_lifts_nothing(here: Shop) -> None:
    here.change("stable", auto_accept=False)
    here.hold(first(here), "stable")
    assert send(here, "1.0", "stable", name="world") is None
    with pytest.raises(Invalid):
        here.upload(b"not a package")
    here.run()
    assert held(here) == {"stable"}


def test_an_accepted_upload_lifts_its_own_suite_and_a_refused_decision_none(here: Shop) -> None:
    for suite in ("stable", "testing"):
        here.change(suite, auto_accept=False)
    (bad, good, later) = here.upload(*(deb(control_text(name)) for name in ("bad", "good", "on")))
    here.hold(first(here))
    decisions = UploadService(here.database)
    with pytest.raises(Invalid, match="for a reason"):
        decisions.reject(bad.id, "ada", "")
    assert decisions.reject(bad.id, "ada", "no").state == "rejected"
    with pytest.raises(Conflict, match="is rejected: it cannot be accepted now"):
        decisions.accept(bad.id, "ada")
    assert held(here) == {"stable", "testing"}
    note = str(decisions.accept(good.id, "ada", "asked for").note)
    assert note.startswith(
        "accepted: asked for; stable was held at older packages, which this lifts"
    )
    assert held(here) == {"testing"}
    assert decisions.accept(later.id, "ada").note is None
    with pytest.raises(Conflict, match="it cannot be accepted now"):
        decisions.accept(good.id, "bob", "again")
    assert decisions.find(good.id).note == note


def test_uploads_and_deletions_wait_until_the_hold_is_lifted(here: Shop) -> None:
    send(here, "1.0", "stable", name="world")
    here.hold(None, "stable")
    with here.database.begin() as conn:
        (old,) = packages.list_package_publications(
            conn, here.archive.id, limit=9, suite="stable", state="published"
        )
        packages.delete_package_publication(conn, here.archive.id, old.id, "ada", "a mistake")
    here.run()
    here.run(careful=True)
    assert here.names() == ["hello 2.0"]
    # No package counts as published while clients cannot see it.
    state = "SELECT state FROM package_publications WHERE package = 'world'"
    assert select(here.database, state) == [("pending",)]
    here.publisher.lift(here.name, caller="ada")
    here.run()
    assert here.names() == ["world 1.0"]


def test_the_release_of_a_held_suite_names_its_components_of_then(here: Shop) -> None:
    here.hold(first(here), "stable")
    here.change("stable", components=["main", "extra"], architectures=["amd64", "riscv64"])
    here.run()
    release = here.served("dists/stable/Release").decode()
    assert "\nComponents: main contrib\n" in release
    assert "\nArchitectures: amd64 arm64\n" in release
    here.publisher.lift(here.name, caller="ada")
    here.run()
    release = here.served("dists/stable/Release").decode()
    assert "\nComponents: main extra\n" in release
    assert "\nArchitectures: amd64 riscv64\n" in release


def test_a_rollback_to_a_rollback_shows_its_packages(here: Shop) -> None:
    back = here.hold(first(here), "stable")
    here.publisher.lift(here.name, caller="ada")
    here.run()
    again = here.hold(back.id, "stable")
    assert again.number > back.number
    assert here.names() == ["hello 1.0-1"]
    (suite,) = (suite for suite in here.archive.suites if suite.held)
    assert suite.held
    assert (suite.held.content_number, suite.held.generation_id) == (1, back.id)


def test_pool_files_that_a_held_suite_lists_stay(here: Shop) -> None:
    here.hold(first(here), "stable")
    old = "pool/main/h/hello/hello_1.0-1_amd64.deb"
    for _ in range(2):
        for column in ("retired_at", "live_at", "created_at"):
            execute(
                here.database,
                f"UPDATE dists_generations SET {column} = {column} - interval '3 days'",
            )
        execute(
            here.database,
            "UPDATE package_publications"
            " SET scheduled_deletion_at = scheduled_deletion_at - interval '3 days'",
        )
        send(here, "1.0", "testing", name="world")
        here.run()
    assert here.served(old)
    here.publisher.lift(here.name, caller="ada")
    here.run()
    assert here.names() == ["hello 2.0"]


def test_a_kept_generation_keeps_the_files_of_a_suite_beside_a_held_one(here: Shop) -> None:
    here.hold(first(here), "stable")
    send(here, "1.0", "testing", name="world")
    generation = here.run().generation_id
    assert generation
    with here.database.begin() as conn:
        generations.set_pin(conn, generation, "ada", pinned=True)
        (world,) = packages.list_package_publications(
            conn, here.archive.id, limit=9, package="world"
        )
        packages.delete_package_publication(conn, here.archive.id, world.id, "ada", "a mistake")
    for _ in range(2):
        here.run()
        time_passes(here.database)
    here.run()
    assert "world 1.0" in here.names("testing", generation)
    assert here.served("pool/main/w/world/world_1.0_amd64.deb")
    with here.database.begin() as conn:
        generations.set_pin(conn, generation, "ada", pinned=False)
    time_passes(here.database)
    here.run()
    assert find(here.database, "pool/main/w/world/world_1.0_amd64.deb") is None


def test_a_lifted_suite_that_was_not_published_since_keeps_the_files_that_it_lists(
    here: Shop,
) -> None:
    here.hold(first(here), "stable")
    here.publisher.lift(here.name, caller="ada")
    for number in range(4):
        # Runs and renewals that do not change the suite; each such run makes a new generation.
        send(here, f"1.{number}", "testing", name="world")
        generation = here.run(suites=("testing",)).generation_id
        execute(here.database, "UPDATE release_files SET valid_until = clock_timestamp()")
        here.publisher.renew(here.name, ORIGIN)
        time_passes(here.database)
    assert generation
    assert here.names() == here.names(generation=generation) == ["hello 1.0-1"]
    assert here.served("pool/main/h/hello/hello_1.0-1_amd64.deb")
    with here.database.connect() as conn:
        seen = generations.find_distribution(conn, here.name)
    assert seen
    assert seen.head.number == 2
    here.run()
    assert here.names() == ["hello 2.0"]
    for _ in range(2):
        time_passes(here.database)
        here.run()
    assert find(here.database, "pool/main/h/hello/hello_1.0-1_amd64.deb") is None
    assert here.served("pool/main/h/hello/hello_2.0_amd64.deb")


def test_a_lift_that_changes_nothing_that_clients_see_makes_the_live_generation_the_head(
    here: Shop,
) -> None:
    here.hold(None)
    here.change(label="another")
    live = here.run().generation_id
    assert heads(here) == [2]
    here.publisher.lift(here.name, ("stable",), caller="ada")
    assert "generations" not in here.run().counts
    assert heads(here) == [2]
    here.publisher.lift(here.name, caller="ada")
    here.run(suites=("stable",))
    assert heads(here) == [2]
    dirty = "SELECT name FROM suites WHERE dirty_since IS NOT NULL OR rebuild_since IS NOT NULL"
    assert select(here.database, dirty) == [("testing",)]
    assert "generations" not in here.run().counts
    assert select(here.database, dirty) == []
    assert heads(here) == [3]
    for _ in range(2):
        time_passes(here.database)
        here.run()
    kept = select(here.database, "SELECT id FROM dists_generations WHERE state <> 'reaped'")
    assert kept == [(live,)]
    send(here, "3.0", "testing")
    again = here.run().generation_id
    listed = "SELECT number, content_number FROM dists_generations WHERE id = :id"
    assert select(here.database, listed, id=again) == [(4, 4)]
    assert (
        select(
            here.database, "SELECT 1 FROM generation_holds h WHERE h.generation_id = :id", id=again
        )
        == []
    )


def heads(shop: Shop) -> list[int]:
    query = """
        SELECT g.number FROM dists_generations g
        JOIN distributions d ON d.head_generation_id = g.id"""
    return [number for (number,) in select(shop.database, query)]


def test_an_impossible_rollback_is_refused_by_name(here: Shop) -> None:
    with pytest.raises(Invalid, match="no suite nowhere"):
        here.hold(first(here), "nowhere")
    count = "SELECT count(*) FROM publisher_runs"
    before = select(here.database, count)
    with pytest.raises(NotFound):
        here.hold("0" * 26)
    with here.database.begin() as conn:
        values = {"name": "new", "codename": "new", "components": ["main"]}
        apt_archives.add_suite(conn, here.archive, {**values, "architectures": ["amd64"]})
    with pytest.raises(Conflict, match="has no suite new"):
        here.hold(first(here), "new")
    assert select(here.database, count) == before, "none was begun for it"
    here.run()
    here.hold(first(here))
    assert held(here) == {"stable", "testing"}
    assert here.served("dists/new/Release")
    ended = "SELECT DISTINCT state FROM publisher_runs"
    assert select(here.database, ended) == [("succeeded",)]
    with pytest.raises(NotFound, match="has no suite nowhere"):
        here.publisher.lift_suite(here.name, "nowhere", "ada")


def test_only_a_kept_generation_of_the_archive_itself_can_be_gone_back_to(here: Shop) -> None:
    old, other = first(here), replace(here, name="other")
    other.set_up({"stable": {}, "testing": {}})
    foreign = other.run().generation_id
    assert foreign
    with pytest.raises(Conflict, match=f"generation {foreign} of other is live"):
        here.hold(foreign)
    time_passes(here.database)
    here.run()
    with pytest.raises(Conflict, match=f"generation {old} of {here.name} is reaped"):
        here.hold(old)
    assert held(here) == held(other) == set()


def test_a_lift_during_a_run_takes_effect_in_the_next(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    def meanwhile(step: str) -> None:
        if step == "dominate":
            with database.begin() as conn:
                apt_archives.lift(conn, [suite.id for suite in made.archive.suites], "ada")

    with shop(database, database_url, tmp_path, reached=meanwhile) as made:
        made.set_up({"stable": {}, "testing": {}})
        send(made, "1.0-1")
        made.run()
        send(made, "2.0")
        made.run()
        made.hold(first(made), "stable")
        made.change(label="another")
        made.run()
        assert made.names() == ["hello 1.0-1"]
        made.run()
        assert made.names() == ["hello 2.0"]
        assert made.publisher.go_back(made.name, None, ORIGIN).live.number > 0
