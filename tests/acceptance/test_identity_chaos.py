"""A pod whose identity provider goes wrong in every way, under callers; long in tests/prove."""

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
    """How many callers of each kind, how often each trouble, and how long a probe may take."""

    callers: int
    rounds: int
    probe_seconds: float = PATIENCE_SECONDS


Provider = Callable[[Path], AbstractContextManager[World]]


def keystone_of(folder: Path) -> AbstractContextManager[World]:
    """A Keystone, with the middleware's file in the folder."""

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
    chaos_of(provider, own_url, tmp_path, Size(callers=3, rounds=1))


def chaos_of(provider: Provider, url: str, folder: Path, size: Size) -> Chaos:
    """Run it against a pod of one process with few threads, and hold it to its promises."""
    settings = {"identity_seconds": "1", "threads": "20", "waiters": "4"}
    with provider(folder) as world, service(folder, url, **{**settings, **world.settings}) as pods:
        chaos = Chaos(world, pods.api()[0].url, size.probe_seconds)
        chaos.run(size.callers, size.rounds)
    return chaos
