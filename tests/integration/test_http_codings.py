"""Objects whose server declares a Content-Encoding that was not requested: the digest decides."""

import gzip
import hashlib
from pathlib import Path

import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern, Verification
from staging_api.errors import ArchiveCorrupt, SourceUnverified
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.interruptible import Interruptible
from staging_api.sources.model import SourceOptions
from staging_api.sources.url import parse
from staging_api.staging.engine import FetchedArtifact, fetch
from staging_api.staging.witnessed_source import WitnessedSource
from staging_api.staging.witnesses import Witnesses
from staging_api.store.folder_store import FolderStore
from tests.archives import tar_of
from tests.scripted_http import Asked, Reply, scripted_http, served
from tests.signed import MinisignKey

TEXT = b"line\n" * 3000
PACKED = gzip.compress(TEXT)
KEY = MinisignKey()
SIGNATURE = Verification(keys=(KEY.public,), beside="signature")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def staged(
    tmp_path: Path,
    objects: dict[str, bytes],
    headers: dict[str, str],
    *,
    verify: Verification | None = None,
    extract: str = "plain",
) -> FetchedArtifact:
    """Fetch the first object from a server that sends `headers` with it."""
    name = next(iter(objects))

    def script(asked: Asked) -> Reply:
        called = asked.path.rpartition("/")[2]
        if called not in objects:
            return Reply(404)
        return served(objects[called], asked, **(headers if called == name else {}))

    choices = (Choice(Pattern(name), extract=extract),)
    kind = ArtifactKind("thing", "build", "foreground", choices, verify=verify)
    with scripted_http(script) as server:
        url, allowed = parse(f"{server.url}/b/R17"), AllowList.parse(server.url)
        opened = open_archive(url, allowed, SourceOptions(sleep=lambda _seconds: None))
        witnesses = Witnesses(Interruptible(opened, lambda: None), probes=True)
        source = WitnessedSource(witnesses, verify, None)
        store = FolderStore(tmp_path / "store")
        fetched = fetch(kind, source, "R17", store, names=list(objects))
        opened.close()
    assert fetched is not None
    return fetched


@pytest.mark.parametrize("more", [{}, {"ETag": '"v1"'}, {"x-goog-stored-content-encoding": "gzip"}])
@pytest.mark.parametrize("name", ["notes.txt", "notes.txt.gz"])
@pytest.mark.parametrize("content", [TEXT, PACKED], ids=["text", "packed"])
def test_the_digest_decides_whether_a_declared_coding_is_undone(
    tmp_path: Path, name: str, content: bytes, more: dict[str, str]
) -> None:
    objects = {name: PACKED, "SHA256SUMS": f"{sha(content)}  {name}\n".encode()}
    fetched = staged(tmp_path, objects, {"Content-Encoding": "gzip", **more})
    assert (fetched.sha256, fetched.size_bytes) == (sha(content), len(content))
    assert fetched.verified_by == "sha256 of SHA256SUMS"


@pytest.mark.parametrize("content", [TEXT, PACKED], ids=["text", "packed"])
def test_the_signature_of_an_object_decides_as_its_digest(tmp_path: Path, content: bytes) -> None:
    objects = {"notes.txt": PACKED, "notes.txt.minisig": KEY.sign(content)}
    fetched = staged(tmp_path, objects, {"Content-Encoding": "gzip"}, verify=SIGNATURE)
    assert fetched.sha256 == sha(content)


def test_a_tar_that_the_server_compresses_again_is_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(tar_of(("a", b"content")))
    sums = f"{sha(packed)}  image.tar.gz\n".encode()
    objects = {"image.tar.gz": gzip.compress(packed), "SHA256SUMS": sums}
    fetched = staged(tmp_path, objects, {"Content-Encoding": "gzip"}, extract="tar")
    assert [file.sha256 for file in fetched.files] == [sha(b"content")]


@pytest.mark.parametrize("extract", ["plain", "tar"])
def test_without_a_digest_beside_it_no_object_is_read_in_the_other_form(
    tmp_path: Path, extract: str
) -> None:
    """A wrong digest of the server itself, or a damaged file, must not be passed by."""
    objects = {"image.tar.gz": gzip.compress(tar_of(("a", b"content")))[:-4]}
    headers = {"Content-Encoding": "gzip", "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    with pytest.raises(ArchiveCorrupt, match="no digest or signature beside it"):
        staged(tmp_path, objects, headers, extract=extract)


def test_an_error_names_the_coding_if_neither_way_fits(tmp_path: Path) -> None:
    objects = {"notes.txt": PACKED, "SHA256SUMS": f"{sha(b'')}  notes.txt\n".encode()}
    headers = {"Content-Encoding": "gzip"}
    with pytest.raises(ArchiveCorrupt, match=r"SHA256SUMS declares; .*Content-Encoding: gzip"):
        staged(tmp_path, objects, headers)
    signed = {"notes.txt": PACKED, "notes.txt.minisig": KEY.sign(b"other")}
    with pytest.raises(SourceUnverified, match="Content-Encoding: gzip"):
        staged(tmp_path, signed, headers, verify=SIGNATURE)
