"""Registries: one place to add a scheme, a container file format, an artifact kind, a lock kind."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from staging_api.buckets import SERVICES
from staging_api.catalogue.catalogue import Catalogue
from staging_api.catalogue.model import member_kind
from staging_api.errors import CatalogueInvalid, Invalid, NotFound, SourceFailed
from staging_api.formats.extractors import EXTRACTORS, Extractor
from staging_api.locks.model import ARCHIVE, LockKind
from staging_api.settings import Settings
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import Names, SourceObject, SourceOptions
from staging_api.sources.opening import open_archive
from staging_api.sources.url import SCHEMES, ArchiveUrl, Scheme, parse
from staging_api.staging import model
from staging_api.staging.model import LOCK_BY_NAME, LOCK_OF_GROUP, lock_kind_of

FIRMWARE = """\
artifacts:
  - {name: firmware, group: images, phase: foreground, pattern: firmware.lz, extract: EXTRACT}
"""


class Nothing:
    """Archive without objects."""

    def __init__(self, url: ArchiveUrl, _allowed: AllowList, _options: SourceOptions) -> None:
        self.url = url.canonical

    def names(self) -> Names:
        return Names()

    def stat(self, name: str) -> SourceObject:
        raise NotFound(name)

    def open(
        self, _found: SourceObject, _start: int = 0, _end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        return nullcontext(iter(()))

    def close(self) -> None:
        return None


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_can_be_parsed_and_opened(scheme: str) -> None:
    url = f"{scheme}://{'' if SCHEMES[scheme].local else 'builds.example'}/board/R1"
    options = SourceOptions(buckets={"az": {"account": "builds"}})
    open_archive(parse(url), AllowList.parse(url), options).close()


@pytest.mark.parametrize("scheme", SERVICES)
def test_every_service_of_buckets_has_its_settings(scheme: str) -> None:
    assert SCHEMES[scheme].bucket
    for option in SERVICES[scheme].options:
        assert f"sources_{scheme}_{option}" in Settings.model_fields


@pytest.mark.parametrize(
    ("scheme", "where", "address"),
    [
        ("gs", {}, "https://storage.googleapis.com"),
        ("gs", {"endpoint": "http://emulator:1"}, "http://emulator:1"),
        ("s3", {"region": "eu"}, ""),
        ("s3", {"region": "eu", "endpoint": "http://minio:1"}, "http://minio:1"),
        ("az", {"account": "builds"}, "https://builds.blob.core.windows.net"),
        ("az", {"account": "builds", "endpoint": "http://azurite:1"}, "http://azurite:1"),
    ],
)
def test_a_service_is_at_its_endpoint_or_where_all_find_it(
    scheme: str, where: dict[str, str], address: str
) -> None:
    assert SERVICES[scheme].address_of(where) == address


def test_only_where_every_server_can_are_many_objects_deleted_by_one_request() -> None:
    """Some servers with the S3 protocol respond that they do not know this request."""
    assert {scheme for scheme, service in SERVICES.items() if service.deletes_many} == {"gs", "az"}


def test_a_source_that_is_not_set_up_says_by_which_settings_it_would_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    url = "az://builds/board/R1"
    with pytest.raises(SourceFailed, match="STAGING_SOURCES_AZ_"):
        open_archive(parse(url), AllowList.parse(url), SourceOptions())


@pytest.mark.parametrize(
    ("scheme", "written", "canonical"),
    [
        (
            Scheme(f"{__name__}:Nothing", default_port=8443),
            "dav://Mirror.example:8443/b/R1",
            "dav://mirror.example/b/R1",
        ),
        (Scheme(f"{__name__}:Nothing", bucket=True), "dav://builds/b/R1", "dav://builds/b/R1"),
        (Scheme(f"{__name__}:Nothing", local=True), "dav:///srv/R1", "dav:///srv/R1"),
    ],
)
def test_a_new_scheme_is_one_line_and_its_module(
    monkeypatch: pytest.MonkeyPatch, scheme: Scheme, written: str, canonical: str
) -> None:
    with pytest.raises(Invalid, match="the scheme must be one of gs, s3, az, http, https, file"):
        parse(written)
    monkeypatch.setitem(SCHEMES, "dav", scheme)

    url = parse(written)
    assert url.canonical == canonical
    assert open_archive(url, AllowList.parse(""), SourceOptions()).names() == []


def test_a_new_form_of_archive_is_one_line_and_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    text = FIRMWARE.replace("EXTRACT", "lz")
    with pytest.raises(CatalogueInvalid, match="extract must be one of plain, tar, zip"):
        Catalogue.read(text)
    monkeypatch.setitem(EXTRACTORS, "lz", Extractor(EXTRACTORS["tar"].extract, suffix=".lz"))
    (kind,) = Catalogue.read(text).resolve(["firmware"])
    assert kind.choices[0].extract == "lz"
    with pytest.raises(CatalogueInvalid, match="say extract: tar or zip or lz"):
        Catalogue.read(FIRMWARE.replace("EXTRACT", "plain, only: [a]"))
    named = member_kind("firmware.lz!/a")
    assert named is not None
    assert named.choices[0].extract == "lz"


def test_a_new_kind_of_artifact_is_one_entry_of_a_catalogue() -> None:
    text = FIRMWARE.replace("EXTRACT", "zip").replace("images", "firmware_files")
    (kind,) = Catalogue.read(text).resolve(["firmware"])
    assert lock_kind_of(kind) == ARCHIVE


def test_a_new_lock_of_a_group_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(LOCK_BY_NAME.values()) == [ARCHIVE, *LOCK_OF_GROUP.values()]
    another: dict[str, Any] = {**LOCK_OF_GROUP, "images": LockKind("firmware")}
    monkeypatch.setattr(model, "LOCK_OF_GROUP", another)
    (kind,) = Catalogue.read(FIRMWARE.replace("EXTRACT", "zip")).resolve(["firmware"])
    assert lock_kind_of(kind) == LockKind("firmware")
