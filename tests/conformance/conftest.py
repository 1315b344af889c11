"""Fixtures: a store in a folder, and one in a bucket of each service."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.object_stores import BUCKETS, SERVERS, NewStore


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, NewStore]]:
    """Yield the bucket servers that this module has requested so far; see `url`."""
    with ExitStack() as running:
        yield _Servers(running)


class _Servers(dict[str, NewStore]):
    """Mapping that starts a server when it is first requested."""

    def __init__(self, running: ExitStack) -> None:
        super().__init__()
        self._running = running

    def __missing__(self, service: str) -> NewStore:
        self[service] = self._running.enter_context(SERVERS[service]())
        return self[service]


@pytest.fixture(params=["folder", *BUCKETS])
def url(request: pytest.FixtureRequest, tmp_path: Path, servers: dict[str, NewStore]) -> str:
    """Return the URL of an empty store."""
    if request.param == "folder":
        return f"file://{tmp_path}/store"
    return servers[request.param]()
