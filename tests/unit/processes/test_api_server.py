"""gunicorn's parent process: settings, steps after a SIGTERM, and shortage of processes."""

import errno
import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]  # has no types

from staging_api import logs
from staging_api.processes import api_server
from staging_api.processes.api_server import ApiServer, address_of_pages
from staging_api.processes.api_worker import ApiWorker
from staging_api.settings import Settings
from tests.pauses import patch_sleep

Sent = list[tuple[Any, ...]]


def server(**given: Any) -> ApiServer:
    return ApiServer(Settings.from_env(**given))


def test_gunicorn_is_set_to_what_a_caller_and_an_operator_may_rely_on() -> None:
    cfg = server(bind="127.0.0.1:1,unix:/x", probes_bind="127.0.0.1:2", shutdown_seconds=7.9).cfg
    assert cfg.bind == ["127.0.0.1:1", "unix:/x", "127.0.0.1:2"]
    assert cfg.worker_class is ApiWorker
    assert cfg.forwarder_headers == []
    assert (cfg.limit_request_line, cfg.limit_request_fields) == (4094, 64)
    assert cfg.limit_request_field_size == 16 << 10
    assert (cfg.timeout, cfg.graceful_timeout) == (60, 7)
    assert cfg.control_socket_disable is True
    assert server(workers=3).cfg.workers == 3
    assert server(bind="127.0.0.1:1").cfg.bind == ["127.0.0.1:1"]


def test_gunicorns_own_lines_go_where_ours_go_and_only_there() -> None:
    given = server().cfg.logconfig_dict
    assert given["disable_existing_loggers"] is False
    assert given["root"] == {"level": "INFO", "handlers": []}
    assert given["loggers"]["gunicorn.error"] == {
        "level": "INFO",
        "handlers": [],
        "propagate": True,
    }


@pytest.fixture
def _handlers() -> Iterator[None]:
    """Restore the signal handlers after each test."""
    numbers = (signal.SIGTERM, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def ready(parent: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Record the signals that a ready parent forwards, and the times that it waits."""
    sent: Sent = []
    monkeypatch.setattr(logs, "configure", lambda form: sent.append(("logs", form)))
    monkeypatch.setattr(signal, "setitimer", lambda *given: sent.append(given))
    parent._when_ready(SimpleNamespace(signal=lambda number, _frame: sent.append((number,))))
    return sent


@pytest.mark.usefixtures("_handlers")
def test_a_sigterm_drains_first_and_the_alarm_then_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = server(drain_seconds=5, log_format="json")
    sent = ready(parent, monkeypatch)
    assert not parent.drain.begun
    signal.raise_signal(signal.SIGTERM)
    assert parent.drain.begun
    signal.raise_signal(signal.SIGALRM)
    assert sent == [("logs", "json"), (signal.ITIMER_REAL, 5.0), (signal.SIGTERM,)]


@pytest.mark.usefixtures("_handlers")
def test_a_second_sigterm_or_a_pod_without_balancers_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hurried = ready(server(drain_seconds=5), monkeypatch)
    for _ in range(2):
        signal.raise_signal(signal.SIGTERM)
    assert hurried[1:] == [(signal.ITIMER_REAL, 5.0), (signal.SIGTERM,)]
    parent = server(drain_seconds=0)
    alone = ready(parent, monkeypatch)
    signal.raise_signal(signal.SIGTERM)
    assert alone[1:] == [(signal.SIGTERM,)]
    assert parent.drain.begun


@pytest.mark.usefixtures("_handlers")
@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"bind": "127.0.0.1:1,127.0.0.1:2"}, "http://127.0.0.1:1/"),
        ({"public_url": "https://staging.test/"}, "https://staging.test/"),
        ({"bind": "unix:/x", "public_url": "https://staging.test"}, ""),
        ({"dashboard": False}, ""),
    ],
)
def test_who_starts_it_is_told_where_its_pages_are_if_there_are_any(
    given: dict[str, Any],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    parent = server(**given)
    assert address_of_pages(parent.settings) == address
    with caplog.at_level(logging.INFO):
        ready(parent, monkeypatch)
    assert [line for line in caplog.messages if "browser" in line] == (
        [f"open {address} in a browser to see what goes on"] if address else []
    )


def test_a_process_that_ends_closes_its_services_and_then_writes_its_last_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    monkeypatch.setattr(logs, "flush", lambda: done.append("flush"))
    parent = server()
    parent.cfg.worker_exit(None, None)
    assert done == ["flush"]
    services: Any = SimpleNamespace(close=lambda: done.append("close"))
    parent.services = services
    parent.cfg.worker_exit(None, None)
    assert done == ["flush", "close", "flush"]


def test_of_a_process_that_ended_the_gauges_are_told_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead: list[int] = []
    monkeypatch.setattr(api_server, "mark_process_dead", dead.append)
    server().cfg.child_exit(None, SimpleNamespace(pid=17))
    assert dead == [17]


def test_the_probes_are_of_a_process_that_has_its_services() -> None:
    with pytest.raises(AssertionError, match="before `load`"):
        server().probes()


def test_a_process_that_the_system_refuses_is_tried_again_after_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    said: list[str] = []
    patch_sleep(monkeypatch, pauses.append)
    parent = api_server._Parent.__new__(api_server._Parent)
    parent.log = SimpleNamespace(error=lambda form, *given: said.append(form % given))

    def refuse(_parent: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "no room")

    monkeypatch.setattr(Arbiter, "spawn_worker", refuse)
    assert parent.spawn_worker() is None
    assert pauses == [1.0]
    assert said == ["no process can be started: [Errno 11] no room"]
    monkeypatch.setattr(Arbiter, "spawn_worker", lambda _parent: 42)
    assert parent.spawn_worker() == 42


def test_the_api_is_kept_from_others_and_shares_its_memory_before_it_forks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    for name in ("keep_from_others", "prepare_forks"):
        monkeypatch.setattr(api_server, name, lambda name=name: done.append(name))
    monkeypatch.setattr(ApiServer, "run", lambda parent: done.append(parent.settings.bind))
    api_server.run_api(Settings.from_env(bind="127.0.0.1:9", home=Path("/x")))
    assert done == ["keep_from_others", "prepare_forks", "127.0.0.1:9"]
