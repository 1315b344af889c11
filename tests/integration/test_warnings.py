"""What of an artifact's objects was left out stays in its row, and in every answer about it."""

import tarfile

import pytest

from staging_api.http.bodies import ArtifactBody
from tests.archives import header, tar_of
from tests.stagings import bench


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
    at.tamper("UPDATE staged_artifacts SET state = 'failed', error_code = 'x'")
    assert at.stage(url, "suites").artifacts[0].warnings == []


def test_an_artifact_without_oddities_has_no_warning(at):
    assert [a.warnings for a in at.stage(at.build()).artifacts] == [[], [], []]


def test_names_with_terminal_escapes_reach_no_answer(at):
    url = at.build(suites_tgz=suites(("a\x1b[2Jb", b"x")))
    with pytest.raises(Exception, match="has a control character") as refused:
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
