"""Durability of all written files: bytes are on the disk before their name."""

import os
from contextlib import closing

import pytest

from staging_api.client.download import _ReceivedPart
from staging_api.client.local_folder import LocalFolder
from staging_api.client.model import StagedFile
from staging_api.embedded_postgres import cluster
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from staging_api.staging.write_tracker import WriteTracker
from staging_api.store.blobs import MARKER
from staging_api.store.folder_store import FolderStore
from staging_api.store.pack_writer import LEAST_CONTENTS
from staging_api.store.parts import PartStore
from tests.durability import Named, recorded

FEW, MANY = 2, 20


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_blobs_are_durable_before_they_are_named_and_their_names_afterwards(
    store, tmp_path, monkeypatch, count
):
    with store.batch("worker-1") as batch:
        blobs = [batch.keep([b"%d" % number]) for number in range(count)]
        record = recorded(monkeypatch)
        batch.commit()
    assert {each.name for each in record.named} == {blob.sha256 for blob in blobs}
    assert all(each.durable for each in record.named)
    shards = {str(store.path(blob.sha256).parent) for blob in blobs}
    above = {str(tmp_path / "sha256"), str(tmp_path)}
    if count == FEW:
        assert record.synced_last == shards | above
    else:
        [whole] = record.synced_last
        assert whole.startswith("all of the disk of ")


def test_a_pack_is_durable_before_it_is_named_as_is_the_blob_beside_it(store, monkeypatch):
    with store.batch("worker-1") as batch:
        for number in range(LEAST_CONTENTS):
            batch.keep_small(b"content %d" % number)
        beside, pack = batch.keep([b"beside"]), batch.seal_pack()
        record = recorded(monkeypatch)
        batch.commit()
    assert pack is not None
    expected = {Named(blob.sha256, True, blob.size_bytes) for blob in (pack, beside)}
    assert set(record.named) == expected


def test_the_marker_of_a_store_is_durable_before_it_is_named_and_its_name_afterwards(
    store, tmp_path, monkeypatch
):
    record = recorded(monkeypatch)
    store.identify("0" * 26)
    assert record.named == [Named(MARKER, True, 27)]
    assert record.synced_last == {str(tmp_path)}


def test_a_part_is_durable_before_the_journal_names_it(tmp_path, monkeypatch):
    record = recorded(monkeypatch)
    write = os.write
    at_journal = []

    def noted(descriptor, line):
        at_journal.append((line, list(record.steps)))
        return write(descriptor, line)

    with PartStore(tmp_path).open("key", 8) as parts:
        monkeypatch.setattr(os, "write", noted)
        parts.write(0, b"one")
        parts.note([(0, 3)])
        parts.write(3, b"other")
        parts.note([(3, 8)])
    data = str(parts.path)
    assert [line.split()[:2] for line, _ in at_journal] == [[b"0", b"3"], [b"3", b"8"]]
    assert [steps for _, steps in at_journal] == [[data], [data, data]]


def test_a_file_that_is_followed_is_durable_as_far_as_it_is_announced(tmp_path, monkeypatch):
    record = recorded(monkeypatch)
    file = tmp_path / "growing"
    file.write_bytes(b"four")
    tracker = WriteTracker()
    list(tracker.counted(file, 9, [b"four"]))
    extent = tracker.synced()
    assert extent is not None
    assert extent.bytes_done == 4
    assert record.steps == [str(file)]


def test_a_file_of_tokens_is_durable_before_it_takes_the_place_of_the_one_before(
    tmp_path, monkeypatch
):
    record = recorded(monkeypatch)
    path = tmp_path / "tokens.yaml"
    sizes = []
    for caller in ("first", "second"):
        _, lines = make_token(caller, [Role.VIEWER], days=1)
        add_to_file(path, lines)
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1]
    assert record.named == [Named(path.name, True, size) for size in sizes]
    # A caller who got a token relies on it from then on.
    assert record.synced_last == {str(tmp_path)}


def test_a_file_that_a_client_fetched_is_written_whole_before_it_is_named(tmp_path, monkeypatch):
    with closing(_ReceivedPart(tmp_path / "part", tmp_path / "name")) as part:
        part.append(b"less than a buffer")
        record = recorded(monkeypatch)
        part.appear()
    assert [(each.name, each.size_bytes) for each in record.named] == [("name", 18)]


def staged(name):
    return StagedFile(name=name, path=f"b/{name}", size_bytes=3, sha256="0" * 64)


def test_what_a_client_verified_is_written_down_at_once(tmp_path):
    with closing(LocalFolder(tmp_path)) as folder:
        for name in ("one", "two"):
            (tmp_path / name).write_bytes(b"abc")
            folder.note(staged(name))
            # Before anything is closed: this process may be killed.
            journals = (each.read_text() for each in tmp_path.rglob("verified.jsonl"))
            assert [name in lines and lines.endswith("\n") for lines in journals] == [True]


@pytest.mark.parametrize("durable", [True, False])
def test_a_cluster_is_durable_before_it_is_named_and_its_name_afterwards(
    tmp_path, monkeypatch, durable
):
    binaries = tmp_path / "bin"
    binaries.mkdir()
    runs = tmp_path / "runs"
    fresh = tmp_path / "postgresql" / "17.new"
    for name, shown in (("initdb", ""), ("postgres", "echo postgres version 17.1")):
        program = binaries / name
        program.write_text(f'#!/bin/sh\nmkdir -p {fresh}\necho {name} "$@" >> {runs}\n{shown}\n')
        program.chmod(0o755)
    record = recorded(monkeypatch)
    rename = os.rename
    at_name = []
    monkeypatch.setattr(
        os, "rename", lambda *given: (at_name.append(runs.read_text()), rename(*given))
    )
    with (tmp_path / "lock").open("w") as lock:
        programs = cluster.Programs(binaries, lock.fileno(), durable, "staging")
        data = cluster.data_folder(programs, tmp_path / "postgresql")
    assert data.name == "17"
    assert [each.name for each in record.named] == ["17"]
    [runs_before] = at_name
    assert ("--sync-only" in runs_before.splitlines()[-1]) == durable
    assert record.synced_last == ({str(data.parent)} if durable else set())
