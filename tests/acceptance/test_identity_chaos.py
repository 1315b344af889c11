"""A pod whose identity provider fails in every way, under callers; long runs: tests/prove."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.identity_chaos import Chaos, World, openid, openstack
from tests.keystone_server import CONFIG
from tests.service import service
from tests.source import PATIENCE_SECONDS

pytestmark = pytest.mark.timeout(600)


class Size(NamedTuple):
    """Numbers of callers per kind and of faults per kind, and times of `Chaos`."""

    callers: int
    rounds: int
    probe_seconds: float = PATIENCE_SECONDS
    pause_seconds: float = 0.02


Provider = Callable[[Path], AbstractContextManager[World]]


def keystone_of(folder: Path) -> AbstractContextManager[World]:
    """Return a Keystone whose middleware file is in the folder."""

    def config(url: str) -> str:
        path = folder / "keystone.conf"
        path.write_text(CONFIG.format(url=url))
        return str(path)

    return openstack(config)


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param(lambda _folder: openid(), id="oidc"),
        pytest.param(keystone_of, id="keystone", marks=pytest.mark.prove),
    ],
)
def test_valid_callers_succeed_or_retry_and_no_caller_gets_more_roles_than_the_rules_give(
    provider: Provider, own_url: str, tmp_path: Path
):
    chaos_of(provider, own_url, tmp_path, Size(callers=3, rounds=1, pause_seconds=0.1))


def chaos_of(provider: Provider, url: str, folder: Path, size: Size) -> Chaos:
    """Run the faults against a pod of one process with few threads, and check its promises."""
    settings = {"identity_seconds": "1", "threads": "20", "waiters": "4"}
    with provider(folder) as world, service(folder, url, **{**settings, **world.settings}) as pods:
        chaos = Chaos(world, pods.api()[0].url, size.probe_seconds, size.pause_seconds)
        chaos.run(size.callers, size.rounds)
    return chaos
