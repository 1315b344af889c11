"""Warnings about objects left out of an artifact, or out of the list that it was chosen from.

A warning is kept in the artifact's row, and appears in every response about it.
"""

import tarfile
from dataclasses import replace

import pytest

from staging_api.catalogue.catalogue import Catalogue
from staging_api.errors import ArchiveUnsafe, ArtifactNotFound
from staging_api.http.staging_bodies import ArtifactBody
from staging_api.sources.manifest import Manifest
from staging_api.sources.model import Names, warnings_of
from staging_api.staging.catalogues import Catalogues
from staging_api.staging.repository import artifact_rows, upload_rows
from tests.archives import header, tar_of
from tests.stagings import CATALOGUE, bench


@pytest.fixture
def at(database, database_url, tmp_path):
    with bench(database, database_url, tmp_path) as made:
        yield made


def suites(*members):
    return tar_of(("suites/control", b"1"), *members)


def test_a_row_keeps_what_was_left_out_until_it_is_staged_anew(at):
    link = header("suites/l", tarfile.SYMTYPE, "/usr/lib/x")
    url = at.build(suites_tgz=suites(link))
    staging = at.stage(url, "suites")
    (artifact,) = staging.artifacts
    (warning,) = artifact.warnings
    assert warning.startswith("suites.tgz: 1 of its members are links to nothing")
    assert ArtifactBody.of(artifact).warnings == [warning]
    assert at.service.artifacts.find(artifact.id).warnings == [warning]
    (at.builds / "board" / "R17-1" / "suites.tgz").write_bytes(suites())
    at.tamper("UPDATE staged_artifacts SET state = 'failed', staged_at = NULL, error_code = 'x'")
    assert at.stage(url, "suites").artifacts[0].warnings == []


LEFT_OUT = (
    "2 of the names in the archive's list are no safe names of objects, and are left out;"
    " the first is 'logs//x'"
)


@pytest.fixture
def globs(at):
    """Return the bench with a catalogue whose entries need a list of the archive."""
    text = CATALOGUE
    for name in ("payload.bin", "notes.txt", "debug.tgz"):
        text = text.replace(f"pattern: {name}", f'pattern: "*{name}"')
    catalogues = Catalogues(Catalogue.read(text))
    return replace(at, service=replace(at.service, catalogues=catalogues))


def listed(at, *names):
    return at.build(payload_bin=b"payload", UPLOADED="".join(f"{n}\n" for n in names).encode())


def test_names_that_are_left_out_of_a_list_are_counted_in_each_row_that_was_chosen_by_it(globs):
    url = listed(globs, "logs//x", "payload.bin", "a%2Fb")
    (artifact, missing) = globs.stage(url, "payload", "notes").artifacts
    assert (artifact.state, artifact.warnings) == ("staged", [LEFT_OUT])
    assert (missing.state, missing.warnings) == ("missing", [LEFT_OUT])
    assert ArtifactBody.of(artifact).warnings == [LEFT_OUT]


def test_what_is_not_in_a_list_is_refused_with_what_was_left_out_of_it(globs):
    url = listed(globs, "logs//x", "payload.bin", "a%2Fb")
    with pytest.raises(ArtifactNotFound) as refused:
        globs.stage(url, "symbols")
    assert refused.value.detail.endswith(LEFT_OUT)


def test_a_list_that_was_kept_says_again_what_was_left_out_of_it(database):
    names = Names.parted(["logs//x", "payload.bin", "a%2Fb"])
    assert (names, names.left_out) == (["payload.bin"], ("logs//x", "a%2Fb"))
    with database.begin() as conn:
        artifact_rows.static_prefix(conn, "http://x/b", "b", "b~")
        upload_rows.keep_manifest(conn, "http://x/b", Manifest('"1"', "0" * 64, names))
        upload_rows.claim_poll(conn, "http://x/b", 1.0)
        upload_rows.note_poll(conn, "http://x/b", names)
        kept = upload_rows.kept_manifest(conn, "http://x/b")
        seen = upload_rows.newest_poll(conn, "http://x/b")
    for found in (kept, seen):
        assert found is not None
        assert found.names == ["payload.bin"]
        assert warnings_of(found.names) == (LEFT_OUT,)


def test_a_name_that_is_no_text_is_kept_as_one_that_is_left_out():
    names = Names.parted(["a\udcff", "fine"])
    assert names.left_out == ("a\udcff",)
    again = Names.parted(names.everything)
    assert (again, again.left_out) == (["fine"], (r"a\udcff/",))


def test_a_literal_percent_in_a_name_is_staged_and_served_under_it(globs):
    url = listed(globs, "build%20log.txt", "payload.bin")
    (globs.builds / "board" / "R17-1" / "build%20log.txt").write_bytes(b"log")
    (artifact,) = globs.stage(url, "file:build%20log.txt").artifacts
    assert (artifact.state, artifact.warnings) == ("staged", [])
    for url in (artifact.source_url, ArtifactBody.of(artifact).url):
        assert url is not None
        assert url.endswith("/build%2520log.txt")


def test_an_artifact_without_oddities_has_no_warning(at):
    assert [a.warnings for a in at.stage(at.build()).artifacts] == [[], [], []]


def test_names_with_terminal_escapes_reach_no_answer(at):
    url = at.build(suites_tgz=suites(("a\x1b[2Jb", b"x")))
    with pytest.raises(ArchiveUnsafe, match="has a control character") as refused:
        at.stage(url, "suites")
    assert "\x1b" not in str(refused.value)
    (message,) = at.rows("SELECT error_message FROM staged_artifacts")[0]
    assert "\x1b" not in message


def test_a_member_is_asked_for_by_its_second_name(at):
    soft, hard = header("l", tarfile.SYMTYPE, "suites/control"), header("h", tarfile.LNKTYPE)
    hard.linkname = "suites/control"
    url = at.build(suites_tgz=suites(soft, hard))
    words = [f"member:suites.tgz!/{name}" for name in ("l", "h")]
    staging = at.stage(url, *words)
    assert {artifact.state for artifact in staging.artifacts} == {"staged"}
    paths = [path for (path,) in at.rows("SELECT path FROM staged_files ORDER BY path")]
    assert [path.rpartition("!/")[2] for path in paths] == ["h", "l"]
