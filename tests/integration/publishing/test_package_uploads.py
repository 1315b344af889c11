"""Results of uploads in responses, and paths of the pool, whose bytes never change."""

import dataclasses
import gzip
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from staging_api.db.engine import Database
from staging_api.errors import Conflict, Invalid, PackageInvalid
from staging_api.publishing.model import PackagePublication, Upload
from staging_api.publishing.rows import apt_archives, packages, uploads
from staging_api.publishing.run_model import PublisherRun
from staging_api.store.blob_store import BlobStore
from tests.factories import ORIGIN
from tests.packages import ar, control_text, deb, deb_members, dsc, source_file
from tests.publisher import Shop, find, shop
from tests.rows import execute, select


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        made.set_up({"stable": {}, "testing": {}})
        yield made


def source(
    version: str = "1.0-1", orig: bytes = b"orig", debian: bytes = b"x"
) -> Mapping[str, bytes]:
    upstream = version.partition("-")[0]
    files = {
        f"hello_{upstream}.orig.tar.gz": orig,
        f"hello_{version}.debian.tar.xz": debian,
    }
    text = dsc([source_file(*each) for each in files.items()], version=version)
    return {f"hello_{version}.dsc": text.encode(), **files}


def stanzas(shop: Shop, path: str, suite: str = "stable") -> list[tuple[str, str]]:
    """Return version and path of each package in an index file."""
    text = gzip.decompress(shop.served(f"dists/{suite}/{path}.gz")).decode()
    return re.findall(r"Version: (\S+)\n(?:.+\n)*?(?:Filename|Directory): (\S+)", text)


def changes(run: PublisherRun) -> set[str]:
    """Return the changes of a run that clients see."""
    return {"superseded", "index_files", "generations"} & run.counts.keys()


def careful(shop: Shop) -> PublisherRun:
    return shop.run(careful_publishing=True, careful_domination=True, careful_indices=True)


def note_of(shop: Shop, upload: Upload) -> str | None:
    with shop.database.connect() as conn:
        return uploads.find_upload(conn, upload.id).note


def packages_of(shop: Shop, **wanted: Any) -> list[PackagePublication]:
    with shop.database.connect() as conn:
        return packages.list_package_publications(conn, shop.archive.id, limit=99, **wanted)


def gone_for_good(shop: Shop) -> None:
    """Delete all packages, and let their removal delay pass."""
    with shop.database.begin() as conn:
        for each in packages.list_package_publications(conn, shop.archive.id, limit=99):
            packages.delete_package_publication(conn, shop.archive.id, each.id, "ada", "a mistake")
    for _ in range(2):
        shop.run()
        for table, column in (
            ("dists_generations", "retired_at"),
            ("package_publications", "scheduled_deletion_at"),
            ("binary_releases", "created_at"),
            ("source_releases", "created_at"),
            ("package_files", "created_at"),
        ):
            execute(shop.database, f"UPDATE {table} SET {column} = {column} - interval '9 days'")
    shop.run()


class CountingStore:
    """A store that counts the bytes read from it."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.read_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def open(self, sha256: str, size_bytes: int | None = None) -> io.BufferedReader:
        store, opened = self, self._blobs.open(sha256, size_bytes)

        class Counted(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def seekable(self) -> bool:
                return True

            def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
                return opened.seek(offset, whence)

            def readinto(self, buffer: Any) -> int:
                data = opened.read(len(buffer))
                buffer[: len(data)] = data
                store.read_bytes += len(data)
                return len(data)

            def close(self) -> None:
                opened.close()
                super().close()

        return io.BufferedReader(Counted())


def test_a_package_is_hashed_by_the_store_and_its_data_is_not_read_again(here: Shop) -> None:
    version, control, (data, _) = deb_members(control_text("hello"))
    hello = ar([version, control, (data, bytes(3 << 20))])
    sent = [hello, deb(control_text("world"))]
    counting = CountingStore(here.intake.blobs)
    intake = dataclasses.replace(here.intake, blobs=cast("BlobStore", counting))
    files = [(f"{number}.deb", iter([raw])) for number, raw in enumerate(sent)]
    intake.take(intake.destination(here.name, "stable", "main"), files, ORIGIN, 0)
    assert 0 < counting.read_bytes < 64 << 10
    here.run()
    text = gzip.decompress(here.served("dists/stable/main/binary-amd64/Packages.gz")).decode()
    for raw in sent:
        assert f"SHA256: {hashlib.sha256(raw).hexdigest()}\n" in text
        assert f"Size: {len(raw)}\n" in text


def test_a_superseded_or_deleted_source_leaves_sources_before_its_files_leave_the_pool(
    here: Shop,
) -> None:
    here.send(source())
    here.run()
    here.send(source("1.0-2"))
    here.run()
    assert stanzas(here, "main/source/Sources") == [("1.0-2", "pool/main/h/hello")]
    (one,) = packages_of(here, state="published")
    with here.database.begin() as conn:
        packages.delete_package_publication(conn, here.archive.id, one.id, "ada", "a mistake")
    here.run()
    assert stanzas(here, "main/source/Sources") == []
    assert changes(careful(here)) == set()


def test_the_same_file_is_in_two_components_and_lies_once_in_the_pool(here: Shop) -> None:
    raw = deb(control_text("hello"))
    for component in ("main", "contrib"):
        here.upload(raw, component=component)
        here.send(source(), component=component)
        here.run()
    for component in ("main", "contrib"):
        assert stanzas(here, f"{component}/binary-amd64/Packages") == [
            ("1.0-1", "pool/main/h/hello/hello_1.0-1_amd64.deb")
        ]
        assert stanzas(here, f"{component}/source/Sources") == [("1.0-1", "pool/main/h/hello")]
    assert here.served("pool/main/h/hello/hello_1.0-1_amd64.deb") == raw
    assert {each.state for each in packages_of(here)} == {"published"}
    assert changes(careful(here)) == set()
    here.upload(deb(control_text("hello", "2.0")), component="contrib")
    here.run()
    assert stanzas(here, "main/binary-amd64/Packages") == []


def test_another_content_of_a_version_is_refused_in_every_component(here: Shop) -> None:
    here.upload(deb(control_text("hello")))
    here.send(source())
    for component in ("main", "contrib"):
        with pytest.raises(Conflict, match="another content"):
            here.upload(deb(control_text("hello"), holds="other"), component=component)
        with pytest.raises(Conflict, match=r"another content|differs"):
            here.send(source(debian=b"other"), component=component)


@pytest.mark.parametrize(("there", "sent"), [("1.0", "1.0-0"), ("1.0-0", "1.0"), ("1.0", "0:1.0")])
def test_a_version_spelt_differently_is_the_same_version(here: Shop, there: str, sent: str) -> None:
    here.upload(deb(control_text("hello", there)))
    with pytest.raises(Conflict) as refused:
        here.upload(deb(control_text("hello", sent)))
    path = f"pool/main/h/hello/hello_{there}_amd64.deb"
    assert f"hello {there} (amd64) is in the archive" in refused.value.detail
    assert path in refused.value.detail
    assert select(here.database, "SELECT path FROM package_files") == [(path,)]
    here.run()
    assert here.names() == [f"hello {there}"]
    assert here.served(path)


def test_a_path_that_was_published_never_gets_other_bytes(here: Shop) -> None:
    raw = deb(control_text("hello"))
    here.upload(raw)
    here.send(source())
    here.run()
    gone_for_good(here)
    assert find(here.database, "pool/main/h/hello/hello_1.0-1_amd64.deb") is None
    with pytest.raises(Conflict, match="was published with it, and a published path keeps"):
        here.upload(deb(control_text("hello"), holds="other"))
    with pytest.raises(Conflict, match="keeps its bytes for ever"):
        here.send(source("1.0-2", orig=b"another upstream"))
    here.upload(raw)
    here.send(source())
    here.run()
    assert here.served("pool/main/h/hello/hello_1.0-1_amd64.deb") == raw
    assert here.served("pool/main/h/hello/hello_1.0.orig.tar.gz") == b"orig"


def test_bytes_that_clients_never_saw_can_be_replaced(here: Shop) -> None:
    here.add("world")
    here.run()
    here.change("stable", auto_accept=False)
    (upload,) = here.upload(deb(control_text("hello")))
    path = "pool/main/h/hello/hello_1.0-1_amd64.deb"
    assert find(here.database, path) is None
    with here.database.begin() as conn:
        uploads.decide(conn, upload.id, state="rejected", before=["new"], caller="ada", reason="no")
    gone_for_good(here)
    here.change("stable", auto_accept=True)
    better = deb(control_text("hello"), holds="other")
    here.upload(better)
    here.run()
    assert here.served(path) == better


def test_the_note_of_an_older_version_says_that_it_is_not_offered(here: Shop) -> None:
    (newer,) = here.upload(deb(control_text("hello", "2.0")))
    here.run()
    (upload,) = here.upload(deb(control_text("hello", "1.0")))
    taken = "stable has 2.0, which is newer: clients are offered that"
    assert upload.note == taken
    run = here.run()
    assert run.counts.keys().isdisjoint({"published", "superseded"})
    assert run.counts["superseded_at_once"] == 1
    ended = "hello 1.0 was never offered by stable, which has 2.0"
    assert ended in run.notes
    # Earlier notes stay, such as the reason for its acceptance.
    assert note_of(here, upload) == f"{taken}; {ended}"
    assert note_of(here, newer) is None
    assert here.names() == ["hello 2.0"]
    (elsewhere,) = here.upload(deb(control_text("hello", "1.0")), suite="testing")
    assert elsewhere.note is None


def test_a_run_notes_20_packages_that_were_never_offered_and_counts_all(here: Shop) -> None:
    here.add("hello", version="2.0")
    here.run()
    here.upload(*(deb(control_text("hello", f"1.{number}")) for number in range(21)))
    run = here.run()
    assert run.counts["superseded_at_once"] == 21
    assert len([note for note in run.notes if "was never offered" in note]) == 20


def test_the_note_of_a_repeated_package_says_that_nothing_changed(here: Shop) -> None:
    (first,) = here.upload(deb(control_text("hello")))
    here.run()
    (again,) = here.upload(deb(control_text("hello")))
    assert "published" not in here.run().counts
    assert note_of(here, first) is None
    assert note_of(here, again) == "it is in stable/main already: nothing changed"
    (other,) = here.upload(deb(control_text("hello")), component="contrib")
    assert here.run().counts["published"] == 1
    assert note_of(here, other) is None


def test_removing_an_architecture_removes_packages_that_only_it_needed(here: Shop) -> None:
    """Otherwise an incremental run and a full rebuild would differ."""
    here.add("hello", version="1", architecture="all")
    here.add("hello", version="2", architecture="amd64")
    here.run()
    assert here.names() == ["hello 1", "hello 2"]
    here.change("stable", architectures=["amd64"])
    here.run()
    assert here.names() == ["hello 2"]
    assert changes(careful(here)) == set()


def test_changed_components_leave_no_installer_index(here: Shop) -> None:
    here.upload(deb(control_text("part")), ending="udeb")
    here.run()
    for components in (["contrib"], ["contrib", "main"], ["main"]):
        here.change("stable", components=components)
        here.run()
        assert changes(careful(here)) == set()


@pytest.mark.parametrize("taken", ["testing", "next"])
def test_an_alias_that_names_another_suite_is_refused(here: Shop, taken: str) -> None:
    here.change("testing", aliases=["next"])
    with pytest.raises(Conflict, match=f"testing is called .*{taken}"):
        here.change("stable", aliases=[taken])
    here.change("testing", aliases=["next", "later"])
    here.change("stable", aliases=["lts"])


def test_a_new_suite_has_no_name_that_is_an_alias(here: Shop) -> None:
    here.change("testing", aliases=["next"])
    values = {"codename": "x", "components": ["main"], "architectures": ["amd64"]}
    for taken in ("next", "stable"):
        with (
            pytest.raises(Conflict, match=f"is called .*{taken}"),
            here.database.begin() as conn,
        ):
            apt_archives.add_suite(conn, here.archive, {"name": taken, **values})
    with here.database.begin() as conn:
        apt_archives.add_suite(conn, here.archive, {"name": "x", "aliases": ["later"], **values})
    assert [suite.name for suite in here.archive.suites] == ["stable", "testing", "x"]


def test_a_field_is_spelt_as_usual_and_the_name_of_the_package_comes_first(here: Shop) -> None:
    text = "version: 1.0\nX-own: yes\nPACKAGE: hello\narchitecture: amd64\ndescription: a\n b\n"
    here.upload(deb(text))
    here.run()
    index = gzip.decompress(here.served("dists/stable/main/binary-amd64/Packages.gz")).decode()
    assert index.startswith(
        "Package: hello\nVersion: 1.0\nX-own: yes\nArchitecture: amd64\nDescription: a\n b\n"
    )


def test_a_valid_package_beside_an_invalid_one_is_taken(here: Shop) -> None:
    with pytest.raises(Invalid):
        here.upload(b"not a package")
    sent = here.upload(b"not a package", deb(control_text("hello")))
    assert [upload.state for upload in sent] == ["rejected", "accepted"]


def test_what_is_rejected_is_not_compared_with_what_is_offered(here: Shop) -> None:
    for version in ("2.0", "1.0"):
        here.add("hello", version=version)
        here.run()
    other = deb(control_text("hello", "1.0"), holds="other")
    sent = here.upload(other, deb(control_text("hello", "1.5")))
    assert [(each.state, each.note) for each in sent] == [
        ("rejected", None),
        ("accepted", "stable has 2.0, which is newer: clients are offered that"),
    ]


@pytest.mark.parametrize("second", ["1.0-1", "0:1.0-1", "1:1.0-1"])
def test_two_contents_of_one_package_in_one_request_are_named(here: Shop, second: str) -> None:
    raws = (deb(control_text("hello")), deb(control_text("hello", second, X="other")))
    sent = here.send(dict(zip(["a.deb", "b.deb"], raws, strict=True)))
    taken, other = sorted(sent, key=lambda upload: upload.state)
    assert (taken.state, other.state) == ("accepted", "rejected")
    begin = f"{other.name} and {taken.name} of this request are the same package"
    assert str(other.error_message).startswith(begin)


def test_two_contents_of_one_source_in_one_request_are_named(here: Shop) -> None:
    files = dict(source())
    text = files["hello_1.0-1.dsc"]
    taken, other = here.send({**files, "other.dsc": text + b"X: other\n"})
    assert (taken.state, other.state) == ("accepted", "rejected")
    assert "other.dsc and hello_1.0-1.dsc of this request are" in str(other.error_message)


def test_a_source_that_another_request_adds_after_the_look_for_it_is_known(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = here.send(source())
    found, first = uploads.find_source, [None]
    monkeypatch.setattr(uploads, "find_source", lambda *of: first.pop() if first else found(*of))
    (upload,) = here.send(source())
    assert first == []
    assert (upload.state, upload.package, upload.sha256) == ("accepted", "hello", before.sha256)


def test_a_source_whose_files_are_not_those_that_it_lists_is_refused_by_their_names(
    here: Shop,
) -> None:
    files = source()
    orig = "hello_1.0.orig.tar.gz"
    missing = {name: raw for name, raw in files.items() if name != orig}
    for sent, why in (
        (missing, f"{orig} is listed in hello_1.0-1.dsc and is missing"),
        ({**files, orig: b"other"}, f"{orig} differs from what hello_1.0-1.dsc lists"),
    ):
        with pytest.raises(PackageInvalid, match=why):
            here.send(sent)
    assert select(here.database, "SELECT path FROM package_files") == []
    (upload,) = here.send(files)
    assert upload.state == "accepted"


def test_a_refusal_of_several_files_names_them_and_says_what_is_wrong_with_the_first(
    here: Shop,
) -> None:
    with pytest.raises(Invalid) as refused:
        here.send({"a.deb": deb(control_text("Upper")), "b.changes": b"Format: 1.8\n"})
    assert refused.value.detail == (
        "a.deb: 'Upper' is not a package name; refused with it: b.changes"
    )
    with pytest.raises(Invalid) as refused:
        here.upload(deb(control_text("Upper")))
    assert refused.value.detail == "'Upper' is not a package name"


@pytest.mark.parametrize(("count", "end"), [(20, ""), (21, ", ...")])
def test_a_refusal_names_20_files_at_most(here: Shop, count: int, end: str) -> None:
    with pytest.raises(Invalid) as refused:
        here.send({f"{number:02}.changes": b"Format: 1.8\n" for number in range(count)})
    others = ", ".join(f"{number:02}.changes" for number in range(1, 20))
    assert refused.value.detail.endswith(f"; refused with it: {others}{end}")
    assert len(refused.value.extra["uploads"]) == count


@pytest.mark.parametrize("ending", ["changes", "buildinfo", "ddeb", "orig.tar.gz.asc"])
def test_a_file_that_is_no_package_is_told_so_and_stops_no_package(here: Shop, ending: str) -> None:
    taken, other = here.send({"a.deb": deb(control_text("a1")), f"a1_1.{ending}": b"x"})
    assert (taken.state, other.state) == ("accepted", "rejected")
    assert str(other.error_message).startswith(f"a1_1.{ending} is no .deb, .udeb or .dsc, and no ")


def test_latin_1_is_listed_as_utf_8_with_a_note(here: Shop) -> None:
    text = control_text("hello", X="Zoë")
    here.add("hello", version="2")
    here.run()
    noted, same = here.upload(deb(text.encode("latin-1")), deb(control_text("hallo", X="Zoë")))
    assert noted.note == (
        "it is Latin-1, and the index has it as UTF-8; stable has 2, which is newer: clients are"
        " offered that"
    )
    assert same.note is None
    noted, *_ = here.send(
        dict(source()) | {"hello_1.0-1.dsc": source()["hello_1.0-1.dsc"] + b"X: \xeb\n"}
    )
    here.run()
    index = gzip.decompress(here.served("dists/stable/main/source/Sources.gz")).decode()
    assert "\nX: ë\n" in index


@pytest.mark.parametrize(("kind", "ending"), [("udeb", "deb"), ("deb", "udeb")])
def test_a_package_is_named_after_its_package_type(here: Shop, kind: str, ending: str) -> None:
    raw = deb(control_text("hello", Package_Type=kind))
    with pytest.raises(Invalid, match=f"so name the file .{kind}, not .{ending}"):
        here.upload(raw, ending=ending)
    here.upload(raw, ending=kind)


def test_a_hold_of_a_suite_that_is_not_there_names_the_field_that_was_sent(here: Shop) -> None:
    here.add("hello")
    here.run()
    with pytest.raises(Invalid, match=rf"^suites: {here.name} has no suite nope$"):
        here.publisher.go_back(here.name, None, ORIGIN, suites=("nope",))
