"""Limits of uploads: number of files in one request, and length of each."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Self

import pytest

from staging_api.debian.deb import DebLimits
from staging_api.errors import LimitExceeded
from staging_api.publishing import intake
from staging_api.publishing.intake import Intake
from staging_api.store.blobs import Blob
from tests.factories import ORIGIN


class Committed(Exception):
    """Raised when the bytes of all files were accepted."""


class Store:
    """Store that keeps nothing, and ends a request where its bytes would become durable."""

    def batch(self, *_: object) -> "Store":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def keep(self, chunks: Iterable[bytes]) -> Blob:
        return Blob("0" * 64, sum(map(len, chunks)))

    def commit(self) -> None:
        raise Committed


def take(files: Iterable[tuple[str, Iterable[bytes]]]) -> None:
    nowhere: Any = SimpleNamespace(apt_archive=SimpleNamespace(name="example"))
    unused: Any = None
    store: Any = Store()
    Intake(unused, store).take(nowhere, files, ORIGIN, 0)


@pytest.mark.parametrize(("count", "ends"), [(10_000, Committed), (10_001, LimitExceeded)])
def test_a_request_brings_10000_files_at_most(count: int, ends: type[Exception]) -> None:
    with pytest.raises(ends):
        take((f"{number}.deb", [b""]) for number in range(count))


@pytest.mark.parametrize(("last", "ends"), [(b"de", Committed), (b"def", LimitExceeded)])
def test_a_file_has_so_many_bytes_at_most_and_the_next_may_have_them_too(
    monkeypatch: pytest.MonkeyPatch, last: bytes, ends: type[Exception]
) -> None:
    monkeypatch.setattr(intake, "LIMITS", DebLimits(file_bytes=5))
    with pytest.raises(ends):
        take([("a.deb", [b"abc", b"de"]), ("b.deb", [b"abc", last])])
