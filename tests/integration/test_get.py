"""Download of a staging to the disk: complete, verified, resumed, and limited to changed files."""

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from staging_api import errors
from staging_api.cli import main
from staging_api.client import FetchOptions, Pacing, StagedFile, StagingClient, download
from staging_api.client.fetching import ATTEMPTS
from staging_api.client.local_folder import LocalFolder
from staging_api.db.engine import Database
from tests import stagings
from tests.archives import header, tar_of, zip_of
from tests.factories import ORIGIN
from tests.serving import serving
from tests.stagings import Bench, bench, packed

SUITES = {f"suites/{number % 7}/control.{number}": b"%d" % number for number in range(40)}
SOON = Pacing(floor_seconds=0.01, jitter=0, patience_seconds=5)


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def url(at: Bench) -> Iterator[str]:
    with serving(at) as found:
        yield found


@pytest.fixture
def client(url: str) -> Iterator[StagingClient]:
    with StagingClient(url, pacing=SOON) as made:
        yield made


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command line against the service: exit code and output."""
    monkeypatch.setenv("STAGING_SERVER", url)

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


def staged(at: Bench, name: str = "R17-1", payload: bytes = b"x" * 100_000) -> str:
    """Return a fully staged build."""
    url = at.build(name, payload_bin=payload, suites_tgz=packed(SUITES))
    at.stage(url)
    return url


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by path, without the client's own files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".staging-api" not in path.parts
    }


def a_file(name: str, content: bytes = b"x", **members: object) -> StagedFile:
    """Return an entry for a file that the service does not have."""
    digest = hashlib.sha256(content).hexdigest()
    document = {"name": name, "path": f"b/{name}", "size_bytes": len(content), "sha256": digest}
    return StagedFile.of({**document, **members})


def test_all_files_come_to_the_disk_and_a_second_time_none(
    at: Bench, client: StagingClient, tmp_path: Path
) -> None:
    url, to = staged(at), tmp_path / "to"
    got = client.get(url, to=to)
    assert contents(to) == {"payload.bin": b"x" * 100_000, **SUITES}
    assert (len(got.fetched), got.missing) == (41, ["notes"])
    assert client.get(url, to=to).fetched == []
    again = client.fetch(client.stage(url), to)
    assert ([file.name for file in again.files], again.fetched) == (sorted(contents(to)), [])
    assert not list((to / ".staging-api" / "parts").iterdir())


def test_only_the_artifacts_that_were_named_come_also_by_their_group(
    at: Bench, client: StagingClient, tmp_path: Path
) -> None:
    url = staged(at)
    client.get(url, ["payload"], to=tmp_path / "one")
    assert list(contents(tmp_path / "one")) == ["payload.bin"]
    client.get(url, ["build"], to=tmp_path / "all")
    assert len(contents(tmp_path / "all")) == 41


def test_objects_left_out_of_an_archive_are_reported(
    at: Bench,
    url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = header("suites/l", tarfile.SYMTYPE, "/usr/lib/x")
    archive = at.build(suites_tgz=tar_of(("suites/control", b"1"), link))
    monkeypatch.setenv("STAGING_SERVER", url)
    with pytest.raises(SystemExit) as ended:
        main(["get", archive, "suites", "-o", str(tmp_path / "to")])
    printed = capsys.readouterr()
    assert not ended.value.code
    assert "suites: suites.tgz: 1 of its members are links to nothing" in printed.err
    assert ": 1 files, 1 fetched" in printed.out
    with pytest.raises(SystemExit):
        main(["get", archive, "suites", "-o", str(tmp_path / "to"), "--json"])
    (said,) = json.loads(capsys.readouterr().out)["warnings"]["suites"]
    assert said.startswith("suites.tgz: 1 of its members are links to nothing")


def test_a_file_that_changed_here_or_there_is_fetched_alone(
    at: Bench, client: StagingClient, tmp_path: Path
) -> None:
    url, to = staged(at), tmp_path / "to"
    client.get(url, to=to)
    (to / "payload.bin").write_bytes(b"y" * 100_000)
    (to / "suites/1/control.1").unlink()
    (to / "mine").write_bytes(b"stays")
    changed = client.get(url, to=to).fetched
    assert sorted(file.name for file in changed) == ["payload.bin", "suites/1/control.1"]
    (artifact,) = client.artifacts(archive_url=url, name="payload")
    at.service.artifacts.evict(artifact.id, ORIGIN)
    (at.builds / "board/R17-1/payload.bin").write_bytes(b"new")
    assert [file.name for file in client.get(url, to=to).fetched] == ["payload.bin"]
    assert contents(to) == {"payload.bin": b"new", "mine": b"stays", **SUITES}


def test_a_change_that_keeps_size_and_time_is_found_by_hashing(
    at: Bench, client: StagingClient, tmp_path: Path
) -> None:
    url, to = staged(at), tmp_path / "to"
    client.get(url, to=to)
    found = (to / "payload.bin").stat()
    (to / "payload.bin").write_bytes(b"z" * 100_000)
    os.utime(to / "payload.bin", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert client.get(url, to=to).fetched == []
    checked = client.get(url, to=to, options=FetchOptions(hash_all=True))
    assert [file.name for file in checked.fetched] == ["payload.bin"]


def test_files_that_came_another_way_are_hashed_once_and_kept(
    at: Bench, client: StagingClient, tmp_path: Path
) -> None:
    url, to = staged(at), tmp_path / "to"
    to.mkdir()
    (to / "payload.bin").write_bytes(b"x" * 100_000)
    assert "payload.bin" not in [file.name for file in client.get(url, to=to).fetched]


#: Moments at which a get is killed: each a function of the client, and the number of the call.
MOMENTS = [
    ("local_folder.LocalFolder.has", 1),
    ("local_folder.LocalFolder.has", 30),
    ("download.fetch", 1),
    ("streaming.write", 20),
    ("download._ReceivedPart.append", 1),
    ("download._ReceivedPart.append", 3),
    ("download._ReceivedPart.appear", 1),
    ("local_folder.LocalFolder.note", 1),
    ("local_folder.LocalFolder.note", 25),
    ("local_folder.LocalFolder.tidy", 1),
]
#: One process that forks for every get, so that the client is imported only once.
KILLED = """
import json, os, signal, sys
from functools import reduce
from staging_api.client import download, fetching, local_folder, streaming
from staging_api.client import FetchOptions, StagingClient
url, archive_url, *moments = sys.argv[1:]
download._CHUNK_BYTES = 30_000
def get(to, where, left):
    *path, name = where.split(".")
    owner = reduce(getattr, path[1:], globals()[path[0]])
    real = getattr(owner, name)
    def dies(*given, **named):
        nonlocal left
        left -= 1
        done = real(*given, **named) if "append" in name else None
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done if "append" in name else real(*given, **named)
    setattr(owner, name, dies)
    fetching.write = streaming.write
    StagingClient(url).get(archive_url, to=to, options=FetchOptions(connections=1))
for moment in moments:
    if not (child := os.fork()):
        get(*json.loads(moment))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def killed(url: str, archive_url: str, *moments: tuple[Path, str, int]) -> list[int]:
    """Get an archive into each folder, in a process that is killed; return the exit statuses."""
    given = [json.dumps([str(to), where, count]) for to, where, count in moments]
    command = [sys.executable, "-c", KILLED, url, archive_url, *given]
    return [int(line) for line in subprocess.check_output(command, timeout=60).split()]


def test_a_get_that_is_killed_at_any_moment_goes_on_and_never_shows_half_a_file(
    at: Bench, url: str, client: StagingClient, tmp_path: Path
) -> None:
    archive_url = staged(at)
    whole = {"payload.bin": b"x" * 100_000, **SUITES}
    moments = [(tmp_path / f"killed-{n}", *moment) for n, moment in enumerate(MOMENTS)]
    assert killed(url, archive_url, *moments) == [-signal.SIGKILL] * len(MOMENTS)
    for to, where, _ in moments:
        before = contents(to)
        assert before.items() <= whole.items(), where
        got = client.get(archive_url, to=to)
        assert contents(to) == whole, where
        assert len(got.fetched) == len(whole) - len(before), where


def test_bytes_that_came_before_a_kill_are_not_fetched_again(
    at: Bench, url: str, client: StagingClient, tmp_path: Path
) -> None:
    archive_url, to = staged(at), tmp_path / "to"
    killed(url, archive_url, (to, "download._ReceivedPart.append", 3))
    (part,) = (to / ".staging-api/parts").iterdir()
    came = part.stat().st_size
    assert 0 < came < 100_000
    seen: list[int] = []
    noting = FetchOptions(on_bytes=lambda done, _: seen.append(done))
    client.get(archive_url, ["payload"], to=to, options=noting)
    assert seen == [100_000]


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "a//x", "./x", ".staging-api/lock", "a/\0"]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = LocalFolder(tmp_path / "to")
    with pytest.raises(errors.ArchiveUnsafe):
        folder.place(a_file(name))
    folder.close()


def test_nothing_is_written_through_a_link_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to/link").symlink_to(tmp_path)
    folder = LocalFolder(tmp_path / "to")
    with pytest.raises(errors.ArchiveUnsafe, match="is a link"):
        folder.place(a_file("link/deep/x"))
    assert not folder.has(a_file("link"), hash_all=False)
    folder.close()


def test_a_folder_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    with pytest.raises(errors.Conflict, match="another process writes"):
        LocalFolder(tmp_path)
    folder.close()
    LocalFolder(tmp_path).close()


def test_a_journal_that_is_damaged_costs_only_a_hash(tmp_path: Path) -> None:
    file = a_file("x", executable=True)
    (tmp_path / "x").write_bytes(b"x")
    folder = LocalFolder(tmp_path)
    assert folder.has(file, hash_all=False)
    folder.close()
    journal = tmp_path / ".staging-api/verified.jsonl"
    journal.write_bytes(b"\xff\n[]\n7\n{}\n" + journal.read_bytes()[:-5])
    folder = LocalFolder(tmp_path)
    assert folder.has(file, hash_all=False)
    assert os.access(tmp_path / "x", os.X_OK)
    for _ in range(400):
        folder.note(file)
    folder.tidy([file], [])
    folder.close()
    assert len(journal.read_text().splitlines()) == 1


def test_what_cannot_be_written_is_one_error_that_names_the_file(
    at: Bench, client: StagingClient, tmp_path: Path
) -> None:
    url, to = staged(at), tmp_path / "to"
    (to / "payload.bin").mkdir(parents=True)
    with pytest.raises(errors.DiskFailed, match=r"payload\.bin"):
        client.get(url, to=to)
    assert contents(to) == SUITES
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.DiskFailed, match="file"):
        client.get(url, to=tmp_path / "file")


def test_an_obstacle_to_some_files_does_not_stop_the_others(
    at: Bench, client: StagingClient, run: Run, tmp_path: Path
) -> None:
    url, to = staged(at), tmp_path / "to"
    (tmp_path / "outside").mkdir()
    (to / "suites").mkdir(parents=True)
    (to / "suites/0").symlink_to(tmp_path / "outside")
    (to / "suites/1").write_text("a file")
    with pytest.raises((errors.ArchiveUnsafe, errors.DiskFailed)) as failed:
        client.get(url, to=to)
    assert failed.value.__notes__ == ["11 further files could not be fetched"]
    kept = {name: data for name, data in SUITES.items() if name[7] not in "01"}
    del (there := contents(to))["suites/1"]
    assert there == {"payload.bin": b"x" * 100_000, **kept}
    assert not list((tmp_path / "outside").iterdir())
    code, told = run("get", url, "-o", str(to), "--json")
    assert (code, json.loads(told)["code"]) in {(1, "archive_unsafe"), (1, "disk_failed")}


def test_a_file_that_is_here_and_may_not_be_read_is_replaced(
    at: Bench, client: StagingClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, to = staged(at), tmp_path / "to"
    to.mkdir()
    (to / "payload.bin").write_bytes(b"y" * 100_000)
    really_open = Path.open

    def refuse(path: Path, mode: str = "r", **options: Any) -> IO[Any]:
        # Root can read every file.
        if path == to / "payload.bin":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really_open(path, mode, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert len(client.get(url, to=to).fetched) == 41
    monkeypatch.undo()
    assert contents(to)["payload.bin"] == b"x" * 100_000


def test_what_was_evicted_is_not_found_and_get_stages_it_again(
    at: Bench, client: StagingClient, tmp_path: Path
) -> None:
    url = staged(at)
    staging = client.stage(url)
    (artifact,) = client.artifacts(archive_url=url, name="payload")
    at.service.artifacts.evict(artifact.id, ORIGIN)
    with pytest.raises(errors.NotFound, match="payload"):
        client.fetch(staging, tmp_path / "to")
    with pytest.raises(errors.NotFound, match="evicted"):
        list(client.files(artifact.id))
    client.get(url, ["payload"], to=tmp_path / "to")
    assert list(contents(tmp_path / "to")) == ["payload.bin"]


Bring = Callable[..., bool]


@pytest.fixture(params=["library", "verb"])
def bring(request: pytest.FixtureRequest, client: StagingClient, run: Run) -> Bring:
    """Stage artifacts and download their files; return whether all were found in the end."""

    def by_library(url: str, *names: str, to: Path) -> bool:
        try:
            client.get(url, names or None, to=to)
        except errors.NotFound:
            return False
        return True

    def by_verb(url: str, *names: str, to: Path) -> bool:
        code, _ = run("get", url, *names, "-o", str(to))
        assert code in (0, 5)
        return code == 0

    return by_library if request.param == "library" else by_verb


def test_what_is_evicted_while_it_is_fetched_is_staged_again_and_the_rest_is_fetched(
    at: Bench, client: StagingClient, bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, to, single = staged(at), tmp_path / "to", list[str]()
    fetch = download.fetch

    def evicted_at_first(*given: Any, **named: Any) -> Path:
        if not single:
            (artifact,) = client.artifacts(archive_url=url, name="payload", state="staged")
            at.service.artifacts.evict(artifact.id, ORIGIN)
            # Different bytes prove that the downloaded content was staged again.
            (at.builds / "board/R17-1/payload.bin").write_bytes(b"new")
        single.append(given[1].to.name)
        return fetch(*given, **named)

    monkeypatch.setattr(download, "fetch", evicted_at_first)
    assert bring(url, to=to)
    assert contents(to) == {"payload.bin": b"new", **SUITES}
    assert single == ["payload.bin", "payload.bin"]


def test_an_archive_that_is_not_there_is_asked_for_once(
    at: Bench, client: StagingClient, bring: Bring, tmp_path: Path
) -> None:
    assert not bring(f"file://{at.builds}/board/none", to=tmp_path / "to")
    assert len(list(client.stagings())) == 1


@pytest.mark.parametrize("artifact", ["suites", "payload"], ids=["a stream", "a file"])
def test_a_fetch_that_its_callback_stops_is_no_fetch(
    at: Bench, client: StagingClient, tmp_path: Path, artifact: str
) -> None:
    archive_url = at.build(payload_bin=b"payload", suites_tgz=packed(SUITES))
    at.stage(archive_url)

    def stop(_done: int, _total: int) -> None:
        raise errors.Cancelled("enough")

    with pytest.raises(errors.Cancelled, match="enough"):
        client.get(archive_url, [artifact], to=tmp_path, options=FetchOptions(on_bytes=stop))
    # The bytes received so far are kept, as after any attempt.
    assert client.get(archive_url, [artifact], to=tmp_path).files


def test_what_is_evicted_again_and_again_is_an_error_after_a_few_attempts(
    at: Bench, bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, attempts = staged(at), list[str]()

    def evicted(*given: Any, **_named: Any) -> Path:
        attempts.append(given[1].to.name)
        raise errors.NotFound("it was evicted")

    monkeypatch.setattr(download, "fetch", evicted)
    assert not bring(url, "payload", to=tmp_path / "to")
    assert attempts == ["payload.bin"] * ATTEMPTS


def test_files_are_listed_with_digests_by_pages(at: Bench, client: StagingClient) -> None:
    url = staged(at)
    (artifact,) = client.artifacts(archive_url=url, name="suites")
    files = list(client.files(artifact.id, page_size=7))
    assert {file.name: file.sha256 for file in files} == {
        name: hashlib.sha256(content).hexdigest() for name, content in SUITES.items()
    }
    assert len(files) == len(SUITES)


def test_an_image_has_one_name_though_it_is_served_at_two_paths(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = "{name: img, group: images, phase: foreground, pattern: image.zip, extract: zip}"
    monkeypatch.setattr("tests.stagings.CATALOGUE", f"{stagings.CATALOGUE}  - {entry}\n")
    with (
        bench(database, database_url, tmp_path) as at,
        serving(at) as address,
        StagingClient(address, pacing=SOON) as client,
    ):
        url = at.build(image_zip=zip_of(("a/one.img", b"1"), ("two.img", b"22")))
        (image,) = at.stage(url, "images").artifacts
        assert [(file.path, file.name) for file in client.files(image.id)] == [
            ("board/R17-1/a/one.img", "a/one.img"),
            ("board/R17-1/two.img", "two.img"),
            ("images/board/R17-1/a/one.img", "a/one.img"),
            ("images/board/R17-1/two.img", "two.img"),
        ]
        client.fetch(client.stage(url, ["images"]), tmp_path / "to")
        assert contents(tmp_path / "to") == {"a/one.img": b"1", "two.img": b"22"}


def test_the_verb_says_what_it_fetched(at: Bench, run: Run, tmp_path: Path) -> None:
    url, to = staged(at), str(tmp_path / "to")
    code, out = run("get", url, "-o", to)
    assert (code, out.splitlines()[0].split(": ")[1]) == (0, "41 files, 41 fetched, 100.1 kB")
    code, out = run("get", url, "suites", "-o", to, "--json")
    document = json.loads(out)
    assert (code, document["fetched"], len(document["items"])) == (0, [], 40)
    assert run("get", f"file://{at.builds}/board/none", "-o", to)[0] == 5


@pytest.mark.parametrize("cut", [False, True])
def test_small_files_come_as_one_stream_and_what_it_lacks_one_by_one(
    at: Bench, client: StagingClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    url, seen, single = staged(at), list[str](), list[str]()
    fetch, open_tar = download.fetch, tarfile.open

    def fetched(*given: Any, **named: Any) -> Path:
        single.append(given[1].to.name)
        return fetch(*given, **named)

    def cut_off(fileobj: IO[bytes], **named: Any) -> tarfile.TarFile:
        return open_tar(fileobj=io.BytesIO(fileobj.read(8 * 1024 + 100)), **named)

    monkeypatch.setattr(download, "fetch", fetched)
    if cut:
        monkeypatch.setattr(tarfile, "open", cut_off)
    noting = FetchOptions(on_file=lambda file: seen.append(file.name))
    got = client.get(url, to=tmp_path / "to", options=noting)
    assert sorted(seen) == sorted(file.name for file in got.files)
    assert contents(tmp_path / "to") == {"payload.bin": b"x" * 100_000, **SUITES}
    assert (single == ["payload.bin"]) is not cut
    assert len(single) < 40


def test_a_list_that_is_damaged_is_read_again(
    at: Bench, client: StagingClient, tmp_path: Path
) -> None:
    url, to = staged(at), tmp_path / "to"
    client.get(url, to=to)
    lists = {each: each.read_bytes() for each in (to / ".staging-api/lists").iterdir()}
    assert len(lists) == 2
    for kept in lists:
        kept.write_text("[{}]")
    assert client.get(url, to=to).fetched == []
    assert {each: each.read_bytes() for each in lists} == lists
