"""Copies of APT archives: files written, their order, and files removed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from staging_api.client import StagingClient, copies
from staging_api.client.copies import CopiedFile, _Bucket
from staging_api.errors import AnswerUnusable
from tests.scripted_service import Script, Seen, Step, problem, says, service

POOL = {"pool/main/h/hello.deb": b"a package"}
BY_HASH = "dists/stable/main/binary-amd64/by-hash/SHA256/abc"
DISTS = {BY_HASH: b"an index", "dists/stable/Release": b"a release"}
FILES = {**POOL, **DISTS}


def items(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    return [
        {"path": path, "sha256": hashlib.sha256(raw).hexdigest(), "size_bytes": len(raw)}
        for path, raw in files.items()
    ]


def serving(dists: Mapping[str, bytes], pool: Mapping[str, bytes] = POOL) -> Script:
    """Return a script that serves the lists of archive `tools`, and its files as generation 7."""

    def answer(seen: Seen) -> Step:
        if seen.path.endswith("?part=dists"):
            return says(200, {"generation_id": 7, "items": items(dists)})
        if "part=pool" in seen.path:
            return says(200, {"items": items(pool), "next": None})
        raw = {**pool, **dists}.get(seen.path.removeprefix("/archive/tools@7/"))
        if raw is None:
            return says(404, problem("not_found"))
        return says(200, raw=raw, ETag=f'"{hashlib.sha256(raw).hexdigest()}"')

    return answer


def exported(copy: Path, script: Script) -> list[str]:
    """Return the files that were written, in order."""
    written: list[str] = []
    with service(script) as running, StagingClient(running.url) as client:
        assert client.archives.export("tools", copy, on_file=written.append) == len(written)
    return written


def test_a_copy_has_each_file_before_the_one_that_names_it(tmp_path: Path) -> None:
    assert exported(tmp_path, serving(DISTS)) == list(FILES)
    assert {path: (tmp_path / path).read_bytes() for path in FILES} == FILES
    assert exported(tmp_path, serving(DISTS)) == []


def test_damaged_files_are_rewritten_if_their_length_differs_or_their_content_may_change(
    tmp_path: Path,
) -> None:
    exported(tmp_path, serving(DISTS))
    for path, raw in FILES.items():
        (tmp_path / path).write_bytes(bytes(len(raw)))
    assert exported(tmp_path, serving(DISTS)) == ["dists/stable/Release"]
    (tmp_path / BY_HASH).write_bytes(b"shorter")
    assert exported(tmp_path, serving(DISTS)) == [BY_HASH]


def test_signatures_are_removed_when_the_new_release_has_none(tmp_path: Path) -> None:
    signed = {**DISTS, "dists/stable/InRelease": b"x", "dists/stable/Release.gpg": b"y"}
    assert exported(tmp_path, serving(signed)) == list({**POOL, **signed})
    assert exported(tmp_path, serving(signed)) == []
    assert exported(tmp_path, serving(DISTS)) == []
    assert [path.name for path in (tmp_path / "dists/stable").iterdir() if path.is_file()] == [
        "Release"
    ]


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a//x", "./x", "", "..\\x", "c:x"])
def test_no_path_of_an_answer_leads_out_of_the_copy(tmp_path: Path, path: str) -> None:
    copy = tmp_path / "copy"
    for script in (serving({path: b"x"}), serving(DISTS, {path: b"x"})):
        with pytest.raises(AnswerUnusable, match="names no file of a copy"):
            exported(copy, script)
    assert not copy.exists()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        *((path, "public, max-age=31536000, immutable") for path in (*POOL, BY_HASH)),
        ("dists/stable/Release", "no-cache"),
    ],
)
def test_caches_before_a_bucket_ask_anew_for_what_may_change(
    path: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_connection", lambda _url: {})  # a bucket of no service
    bucket, raw = _Bucket("memory:///"), FILES[path]
    (file,) = map(CopiedFile.of, items({path: raw}))
    assert not bucket.has(file)
    bucket.bring(file, lambda to: to.write_bytes(raw))
    assert bucket.has(file)
    assert bucket._store.get(path).attributes == {"Cache-Control": shown}
    bucket._store.put(path, bytes(len(raw)))
    assert bucket.has(file) == file.lasting
    bucket._store.put(path, b"")
    assert not bucket.has(file)
    bucket._store.put(path, raw)
    bucket.drop(path)
    assert not bucket.has(file)
    bucket.drop(path)
