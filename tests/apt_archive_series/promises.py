"""What must be true of an archive after any series of events."""

import gzip
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from staging_api.publishing.model import Suite
from staging_api.publishing.rows import serving
from tests.publisher import find
from tests.rows import select

if TYPE_CHECKING:
    from tests.apt_archive_series.life import Files, Life

_LISTED = re.compile(r"^Package: (.*)\n(?:.+\n)*?Version: (.*)$", re.MULTILINE)


def check_holds(lives: "Sequence[Life]") -> None:
    """A suite that went back shows what it went back to, and no other suite is held."""
    records = select(
        lives[0].shop.database,
        "SELECT a.name, s.name FROM suite_holds h JOIN suites s ON s.id = h.suite_id"
        " JOIN apt_archives a ON a.id = s.archive_id WHERE a.name = ANY(:names)",
        names=[life.shop.name for life in lives],
    )
    assert set(records) == {(life.shop.name, suite) for life in lives for suite in life.held}
    for life in lives:
        for suite, files in life.held.items():
            assert plain_names(life.index_files(suite)) == files, f"{suite} does not hold"


def check_superseded(lives: "Sequence[Life]") -> None:
    """What has been superseded since the last look gave way to what its suite can offer."""
    for life in lives:
        records = select(
            life.shop.database,
            "SELECT p.id, p.component, b.architecture, s.name,"
            " array(SELECT c.name FROM components c WHERE c.suite_id = s.id),"
            " array(SELECT r.name FROM architectures r WHERE r.suite_id = s.id)"
            " FROM apt_archives a JOIN suites s ON s.archive_id = a.id"
            " JOIN package_publications o ON o.suite_id = s.id AND o.state = 'superseded'"
            " JOIN package_publications p ON p.id = o.superseded_by"
            " LEFT JOIN binary_releases b ON b.id = p.binary_release_id"
            " WHERE a.name = :name AND o.id <> ALL(:seen)",
            name=life.shop.name,
            seen=list(life.superseded),
        )
        for by, component, architecture, suite, components, architectures in records:
            assert component in components, f"{by} of {suite}/{component} is not offered"
            assert architecture in (None, "all", *architectures), f"{by} of {suite}"
        life.superseded |= _superseded(life)


def _superseded(life: "Life") -> set[int]:
    query = (
        "SELECT p.id FROM package_publications p JOIN suites s ON s.id = p.suite_id"
        " JOIN apt_archives a ON a.id = s.archive_id"
        " WHERE a.name = :name AND p.state = 'superseded'"
    )
    return {each for (each,) in select(life.shop.database, query, name=life.shop.name)}


def check_whole(life: "Life") -> None:
    """After a run over all suites: the four promises."""
    check_full_rebuild(life)
    _check_signatures(life)
    _check_listed(life)
    check_kept(life)


def check_full_rebuild(life: "Life") -> None:
    """(a) a full rebuild gives the same bytes, so nothing to go live with."""
    counts = life.shop.run(
        careful_publishing=True, careful_domination=True, careful_indices=True
    ).counts
    assert not {"generations", "superseded", "index_files"} & counts.keys(), counts


def _check_signatures(life: "Life") -> None:
    """(d) the present key has signed every Release, or no key any; each is valid for a while."""
    expiring = select(
        life.shop.database,
        "SELECT s.name, r.name FROM release_files r JOIN suites s ON s.id = r.suite_id"
        " JOIN apt_archives a ON a.id = s.archive_id WHERE a.name = :name"
        " AND r.gone_number IS NULL AND r.valid_until < clock_timestamp() + interval '11 hours'",
        name=life.shop.name,
    )
    assert not expiring
    key = life.shop.publisher.builder.releaser.key
    for suite in life.suites:
        release = life.shop.served(f"dists/{suite}/Release")
        signed = find(life.shop.database, f"dists/{suite}/InRelease", archive=life.shop.name)
        if key is None:
            assert signed is None
        else:
            assert signed is not None
            assert signed.content == b"signed by %s\n%s" % (key.fingerprint.encode(), release)


def _check_listed(life: "Life") -> None:
    """The index files of a suite that is not held list the published packages of the tables."""
    for suite in life.shop.archive.suites:
        if suite.held:
            continue
        records = select(
            life.shop.database,
            "SELECT p.component, CASE WHEN b.installer THEN '/debian-installer' ELSE '' END,"
            " coalesce(b.architecture, 'source'), p.package, coalesce(b.version, c.version)"
            " FROM package_publications p"
            " LEFT JOIN binary_releases b ON b.id = p.binary_release_id"
            " LEFT JOIN source_releases c ON c.id = p.source_release_id"
            f" WHERE p.suite_id = {suite.id} AND p.state = 'published'",
        )
        wanted: dict[str, list[tuple[str, str]]] = {
            path: [] for path in _paths(suite, installer=any(row[1] for row in records))
        }
        for component, installer, architecture, package, version in records:
            if architecture == "source":
                paths = [f"{component}/source/Sources"]
            else:
                on = suite.architectures if architecture == "all" else [architecture]
                paths = [f"{component}{installer}/binary-{each}/Packages" for each in on]
            for path in paths:
                if path in wanted:  # of a component or architecture that the suite still has
                    wanted[path].append((package, version))
        files = life.index_files(suite.name)
        assert plain_names(files).keys() == wanted.keys(), suite.name
        for path, listed in files.items():
            if path.endswith(".gz"):
                content = gzip.decompress(life.content(suite.name, path, listed) or b"").decode()
                expected = wanted[path.removesuffix(".gz")]
                assert sorted(_LISTED.findall(content)) == sorted(expected), f"{suite.name}/{path}"


def _paths(suite: Suite, *, installer: bool) -> Iterator[str]:
    """The index files that a suite has."""
    for component in suite.components:
        yield f"{component}/source/Sources"
        for folder in (component, *[f"{component}/debian-installer"] * installer):
            yield from (f"{folder}/binary-{each}/Packages" for each in suite.architectures)


def check_nothing_is_left(life: "Life") -> None:
    """Only the live generation is kept, and the pool has the files of its packages and no others.

    A source that a newer one has superseded stays for as long as its binaries do.
    """
    assert [each.state for each in life.generations()] == ["live"]
    needed = select(
        life.shop.database,
        "SELECT DISTINCT f.path FROM package_publications p JOIN suites s ON s.id = p.suite_id"
        " JOIN apt_archives a ON a.id = s.archive_id"
        " LEFT JOIN binary_releases b ON b.id = p.binary_release_id"
        " LEFT JOIN source_release_files d ON d.source_release_id = p.source_release_id"
        " JOIN package_files f ON f.id = coalesce(b.file_id, d.file_id)"
        " WHERE a.name = :name AND (p.state = 'published'"
        " OR p.published_at IS NOT NULL AND p.scheduled_deletion_at IS NULL)",
        name=life.shop.name,
    )
    with life.shop.database.connect() as conn:
        there = serving.pool_list(conn, life.shop.name, after="", limit=1000)
    assert {file.path for file in there} == {path for (path,) in needed}


def check_kept(life: "Life") -> None:
    """(b) whatever a kept index names is there with its digest, and always was that.

    Whether a run has come to all suites or not; and InRelease is of the Release beside it.
    """
    named: dict[str, str] = {}
    assert life.pinned <= {each.id for each in life.generations()}
    kept = life.kept_releases()
    for (generation, suite, name), release in kept.items():
        if name == "InRelease":
            assert release.partition("\n")[2] == kept[generation, suite, "Release"], suite
        if name != "Release":
            continue
        files = listed_in(release)
        _check_fields(release, files)
        for path, listed in files.items():
            content = life.content(suite, path, listed)
            if path.endswith(".gz"):
                named |= dict(_named(gzip.decompress(content or b"").decode()))
    for path, digest in named.items():
        check_path(life, path, digest)


def _check_fields(release: str, files: "Files") -> None:
    """A Release names the components and architectures of its index files, and no others."""
    folders = {re.sub(r".*/binary-(.*)/.*", r"\1", path) for path in files if "/binary-" in path}
    expected = {"Architectures": folders, "Components": {p.partition("/")[0] for p in files}}
    for name, values in expected.items():
        (line,) = re.findall(rf"^{name}: (.*)$", release, re.MULTILINE)
        assert set(line.split()) == values, f"{name}: {line}"


def check_path(life: "Life", path: str, digest: str) -> None:
    """A file that an index names is there, and is what was there whenever it was looked at."""
    served = find(life.shop.database, path, archive=life.shop.name)
    assert served is not None, f"{path} is named and not there"
    assert served.sha256 == digest, path
    assert life.paths.setdefault(path, digest) == digest, f"{path} had other bytes"


def _named(index: str) -> Iterator[tuple[str, str]]:
    """Path and digest of each file that an index names."""
    for stanza in filter(None, index.split("\n\n")):
        if filename := re.search(r"^Filename: (.*)$", stanza, re.MULTILINE):
            (digest,) = re.findall(r"^SHA256: (.*)$", stanza, re.MULTILINE)
            yield filename[1], digest
        else:
            (folder,) = re.findall(r"^Directory: (.*)$", stanza, re.MULTILINE)
            for digest, name in re.findall(r"^ ([0-9a-f]{64}) \d+ (\S+)$", stanza, re.MULTILINE):
                yield f"{folder}/{name}", digest


def listed_in(release: str) -> "Files":
    """By path, the digest and size of each file that a Release lists."""
    lines = re.findall(r"^ ([0-9a-f]{64}) (\d+) (\S+)$", release, re.MULTILINE)
    return {path: f"{digest} {size}" for digest, size, path in lines}


def plain_names(files: "Files") -> "Files":
    """Without the other forms: which ones there are may change."""
    return {path: listed for path, listed in files.items() if not re.search(r"\.\w+$", path)}
