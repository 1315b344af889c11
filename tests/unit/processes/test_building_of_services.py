"""Construction of a process: connections and their limits, waiter slots, and checks."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from staging_api.db.engine import open_database
from staging_api.errors import Invalid, Unavailable
from staging_api.processes import bootstrap
from staging_api.processes.application import dependencies_of
from staging_api.processes.bootstrap import build
from staging_api.processes.services import Services
from staging_api.settings import Settings
from staging_api.shutdown import Drain

URL = "postgresql+psycopg2://nowhere/none"


@contextmanager
def built(**given: Any) -> Iterator[Services]:
    with closing(build(Settings.from_env(database_url=URL, **given))) as services:
        yield services


@pytest.mark.parametrize("direct", ["", "postgresql+psycopg2://direct/none"])
def test_probes_and_leases_have_a_connection_of_their_own_and_all_the_same_limits(
    monkeypatch: pytest.MonkeyPatch, direct: str
) -> None:
    opened: list[tuple[str, int, Any]] = []

    def noted(url: str, size: int, timeouts: Any) -> Any:
        opened.append((url, size, timeouts))
        return open_database(url, size, timeouts)

    monkeypatch.setattr(bootstrap, "open_database", noted)
    with built(
        database_pool_size=7,
        database_direct_url=direct,
        statement_seconds=20,
        idle_transaction_seconds=30,
    ):
        pass
    assert [size for _, size, _ in opened] == [7, 1, 1]
    assert {url for url, _, _ in opened} == {URL}
    for _, _, timeouts in opened:
        assert (timeouts.statement_seconds, timeouts.idle_seconds) == (20, 30)
        assert timeouts.hung_seconds == 25
        # Behind a pooler, limits set on a connection would apply to other clients.
        assert timeouts.sent is not bool(direct)


def test_old_clients_that_wait_take_no_place_from_new_ones() -> None:
    with built(waiters=3, devserver_waiters=5, devserver_wait_seconds=9) as services:
        assert services.joining.waiter_slots.number == 5
        assert services.joining.patience_seconds == 9
        assert not services.joining.refuses
        ours, theirs = services.watch, services.joining.watch
        assert ours is services.stagings.watch
        assert ours is not theirs
        found = [(each._waiter_slots._value, each._waiter_slots) for each in (ours, theirs)]
        assert [number for number, _ in found] == [3, 5]
        assert services.locks.queue._waiter_slots is found[0][1]
    with built(devserver_conflict="409") as services:
        assert services.joining.refuses


@pytest.mark.parametrize("part", ["locks", "watch", "joining", "accesses"])
def test_a_process_lives_if_each_of_its_threads_does(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def refuse() -> None:
        raise Unavailable("no thread")

    with built() as services:
        services.probes.threads()
        found = getattr(services, part)
        monkeypatch.setattr(
            found.watch if part == "joining" else type(found), "check", lambda *_: refuse()
        )
        with pytest.raises(Unavailable):
            services.probes.threads()


def test_a_drain_is_that_of_the_pod_or_its_own() -> None:
    drain = Drain()
    with closing(build(Settings.from_env(database_url=URL), drain)) as services:
        assert services.drain is drain
    with built() as one, built() as other:
        assert one.drain is not other.drain


def test_without_a_database_nothing_is_built() -> None:
    with pytest.raises(Invalid, match=r"STAGING_DATABASE_URL: must be set here"):
        build(Settings())


@pytest.mark.parametrize("given", [{"signing_home": Path("/x")}, {"signing_key": "A" * 40}])
def test_a_key_and_its_home_go_together(given: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=r"STAGING_SIGNING_KEY: goes with"), built(**given):
        pass


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"public_url": "https://x.test/"}, "https://x.test"),
        ({"bind": "127.0.0.1:9"}, "http://127.0.0.1:9"),
    ],
)
def test_validators_reach_the_service_at_its_address(given: dict[str, Any], url: str) -> None:
    with built(**given, documents_validator_seconds=7) as services:
        validators = services.documents.validators
        assert (validators.public_url, validators.seconds) == (url, 7)


def test_the_limits_of_the_api_are_those_of_its_settings() -> None:
    with built(
        rate_per_caller=3,
        concurrency_per_caller=4,
        max_body_bytes=5000,
        max_upload_bytes=6000,
        refused_per_address=7,
        wait_cap_seconds=8,
        documents_max_bytes=9000,
        lease_seconds=11,
        hook_seconds=12,
    ) as services:
        found = dependencies_of(services)
        limits = found.limits
        assert (limits.per_second, limits.at_once, limits.refused_per_second) == (3, 4, 7)
        assert (limits.body_bytes, limits.upload_bytes) == (5000, 6000)
        assert (found.wait_cap_seconds, found.documents_max_bytes) == (8, 9000)
        assert services.locks.lease_seconds == 11
        assert services.publisher.hook_seconds == 12
        assert found.devserver.symbolication is None
