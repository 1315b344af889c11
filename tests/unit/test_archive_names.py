"""Names of an archive's objects: single lookups, manifest or list, each read once."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.errors import ArchiveNotFound, ArtifactNotFound, SourceRefused
from staging_api.sources.manifest import Manifest
from staging_api.sources.model import Names, SourceObject, SourceOptions
from staging_api.sources.url import parse
from staging_api.staging.archive_names import ArchiveNames
from staging_api.staging.model import StagingRequest
from staging_api.staging.repository import reading, upload_rows
from tests.archives import InMemory

URL = "gs://bucket/board/R17-1"
OPTIONS = SourceOptions(manifests=("MANIFEST",))


class Archive:
    """Source that records its requests."""

    url = URL

    def __init__(self, *names: str, manifest: bytes | None = None, strong: bool = True) -> None:
        self.objects = dict.fromkeys(names, b"content")
        if manifest is not None:
            self.objects["MANIFEST"] = manifest
        self.strong = strong
        self.refused: set[str] = set()
        self.asked: list[str] = []

    def names(self) -> Names:
        self.asked.append("*")
        if not self.objects:
            raise ArchiveNotFound(f"nothing is at {URL}")
        return Names(self.objects)

    def stat(self, name: str) -> SourceObject:
        self.asked.append(name)
        if name in self.refused:
            raise SourceRefused(f"{name} is refused")
        if not self.objects:
            raise ArchiveNotFound(f"nothing is at {URL}")
        if name not in self.objects:
            raise ArtifactNotFound(f"{name} is not there")
        return SourceObject(name, f"{URL}/{name}", 7, "v1", strong=self.strong)

    @contextmanager
    def open(self, found: SourceObject, start: int = 0, end: int | None = None) -> Iterator[Any]:
        with InMemory(self.objects[found.name]).open(start, end) as chunks:
            yield chunks

    def close(self) -> None:
        pass


class Rows:
    """Rows of archives: kept manifests, and states of artifacts."""

    def __init__(self) -> None:
        self.kept: dict[str, Manifest] = {}
        self.states: list[str] = []

    def connect(self) -> AbstractContextManager["Rows"]:
        return nullcontext(self)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    def keep(conn: Rows, url: str, manifest: Manifest) -> None:
        assert url not in conn.kept, "it is kept once"
        conn.kept[url] = manifest

    monkeypatch.setattr(upload_rows, "kept_manifest", lambda conn, url: conn.kept.get(url))
    monkeypatch.setattr(upload_rows, "keep_manifest", keep)
    monkeypatch.setattr(
        reading,
        "artifacts_of",
        lambda conn, url, names: [SimpleNamespace(state=each) for each in conn.states],
    )
    return Rows()


def kind(*patterns: str) -> ArtifactKind:
    return ArtifactKind("a", "g", "foreground", tuple(Choice(Pattern(each)) for each in patterns))


def single(*names: str) -> list[ArtifactKind]:
    """Return kinds whose objects a request names; a name with a glob matches several."""
    return [
        ArtifactKind(each, "g", "foreground", (Choice(Pattern(each, literal="*" not in each)),))
        for each in names
    ]


def names_of(
    rows: Any,
    source: Any,
    *kinds: ArtifactKind,
    waits: bool = True,
    seconds: float | None = None,
    url: str = URL,
) -> ArchiveNames:
    request = StagingRequest(parse(url, root=True), kinds or (kind("a.bin"),), seconds)
    return ArchiveNames(rows, source, request, OPTIONS, waits=waits)


def test_a_name_without_a_glob_is_asked_for_and_needs_no_list(rows: Rows) -> None:
    source = Archive("a.bin", "b.bin")
    names = names_of(rows, source)
    for _ in range(2):
        assert names.names_for(kind("a.bin")) == ["a.bin"]
    assert source.asked == ["a.bin"]
    assert names.listed is None
    assert not names.archive_is_absent


def test_a_glob_needs_the_list_which_is_read_once(rows: Rows) -> None:
    source = Archive("a1.bin", "b.bin")
    names = names_of(rows, source, kind("a*.bin"))
    for _ in range(2):
        assert names.names_for(kind("a*.bin")) == ["a1.bin", "b.bin"]
        assert names.find(kind("a*.bin")) == ["a1.bin"]
        # Names in the list are not looked up individually.
        assert names.names_for(kind("b.bin")) == ["b.bin"]
    assert source.asked == ["MANIFEST", "*"]
    assert names.listed == ["a1.bin", "b.bin"]
    assert names.look_again() == ["a1.bin", "b.bin"]
    assert source.asked == ["MANIFEST", "*"] * 2
    names.take(Names(["c.bin"]))
    assert names.names == ["c.bin"]


def test_an_archive_that_is_absent_is_looked_at_once(rows: Rows) -> None:
    source = Archive()
    names = names_of(rows, source)
    assert not names.archive_is_absent
    for _ in range(2):
        with pytest.raises(ArchiveNotFound, match="nothing is at"):
            _ = names.names
    assert source.asked == ["MANIFEST"]
    assert names.archive_is_absent


@pytest.mark.parametrize(("waits", "seconds"), [(True, None), (True, 0), (False, 60.0)])
def test_an_absent_archive_is_refused_unless_the_request_waits_for_it(
    rows: Rows, waits: bool, seconds: float | None
) -> None:
    names = names_of(rows, Archive(), kind("*.bin"), waits=waits, seconds=seconds)
    with pytest.raises(ArchiveNotFound):
        _ = names.names
    expected = names_of(rows, Archive(), kind("*.bin"), waits=True, seconds=60.0)
    assert expected.names == []
    assert not expected.archive_is_absent


def test_what_was_absent_is_asked_for_again_once_that_is_forgotten(rows: Rows) -> None:
    source = Archive("b.bin")
    names = names_of(rows, source, seconds=60.0)
    assert names.names_for(kind("a.bin")) == ["b.bin"]
    source.objects["a.bin"] = b"1"
    assert names.names_for(kind("a.bin")) == ["b.bin"]
    names.forget_absent()
    assert names.names_for(kind("a.bin")) == ["a.bin"]


class Closed(Archive):
    """Archive without a list."""

    def names(self) -> Names:
        raise ArchiveNotFound("there is no list")


def test_a_name_is_absent_from_an_archive_without_a_list_if_another_object_exists(
    rows: Rows,
) -> None:
    source = Closed("b.bin")
    names = names_of(rows, source, kind("a.bin"), kind("b.bin"))
    assert names.names_for(kind("b.bin")) == ["b.bin"]
    assert names.names_for(kind("a.bin")) == ["b.bin"]
    # Without a list, no match of a glob can be found.
    with pytest.raises(ArchiveNotFound):
        names.names_for(kind("a*.bin"))


@pytest.mark.parametrize(
    ("states", "is_known"), [([], False), (["failed"], False), (["failed", "staged"], True)]
)
def test_an_archive_of_which_something_is_staged_is_known(
    rows: Rows, states: list[str], is_known: bool
) -> None:
    rows.states = states
    names = names_of(rows, Closed("b.bin"))
    if is_known:
        assert names.names_for(kind("a.bin")) == []
    else:
        with pytest.raises(ArchiveNotFound):
            names.names_for(kind("a.bin"))


def test_an_object_that_is_refused_where_there_is_no_list_says_so(rows: Rows) -> None:
    source = Closed("b.bin")
    source.refused = {"a.bin"}
    names = names_of(rows, source)
    with pytest.raises(SourceRefused):
        names.names_for(kind("a.bin"))


@pytest.mark.parametrize("patterns", [("a.bin", "b.bin"), ("a.bin", "c.bin"), ("a.bin", "b*.bin")])
@pytest.mark.parametrize("seconds", [0, None, 60.0])
def test_who_would_not_wait_for_single_objects_needs_no_list_if_all_are_there(
    rows: Rows, patterns: tuple[str, ...], seconds: float | None
) -> None:
    source = Archive("a.bin", "b.bin", "d.bin")
    names = names_of(rows, source, *single(*patterns), seconds=seconds)
    if patterns == ("a.bin", "b.bin") and seconds == 0:
        assert names.names == ["a.bin", "b.bin"]
        assert source.asked == ["a.bin", "b.bin"]
    else:
        assert names.names == ["a.bin", "b.bin", "d.bin"]
        assert "*" in source.asked


def test_at_the_root_of_a_bucket_only_what_is_named_is_looked_for(rows: Rows) -> None:
    source = Archive("a.bin", "d.bin")
    names = names_of(rows, source, *single("a.bin", "c.bin"), seconds=0, url="gs://bucket")
    assert names.names == ["a.bin"]
    assert source.asked == ["a.bin", "c.bin"]


def test_each_version_of_a_manifest_is_read_once_and_kept(rows: Rows) -> None:
    source = Archive("a.bin", manifest=b"x.bin\ny.bin\n")
    for _ in range(2):
        names = names_of(rows, source, kind("x*"))
        assert names.names == ["x.bin", "y.bin"]
        assert names.has_manifest()
    assert source.asked == ["MANIFEST"] * 4
    assert [each.names for each in rows.kept.values()] == [["x.bin", "y.bin"]]


def test_a_manifest_without_a_version_that_counts_is_not_kept(rows: Rows) -> None:
    source = Archive("a.bin", manifest=b"x.bin\n", strong=False)
    assert names_of(rows, source, kind("x*")).names == ["x.bin"]
    assert rows.kept == {}


@pytest.mark.parametrize("objects", [("a.bin",), ()])
def test_an_archive_without_a_manifest_has_none(rows: Rows, objects: tuple[str, ...]) -> None:
    names = names_of(rows, Archive(*objects))
    assert not names.has_manifest()
    assert rows.kept == {}
