"""Renewal of Releases in a worker: intervals, and failures after which it waits.

The renewal itself is tested in `tests/integration/publishing/test_releases.py`.
"""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import LockHeld, SigningFailed, Unavailable
from staging_api.publishing import renewal as module
from staging_api.publishing.renewal import Renewal

Renew = Callable[[str], object]
EXPIRING = "staging_api.publishing.rows.apt_archives.expiring_apt_archives"


class Impatient(threading.Event):
    """Event whose wait returns after a moment, unless it is set."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else 0.001)


@pytest.fixture
def expiring(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str | None]]:
    """Archives with Releases to renew, and their signers; this process signs as one of them."""
    found: dict[str, set[str | None]] = {
        "one": {"AAAA"},
        "foreign": {"BBBB"},
        "two": {"AAAA", "BBBB"},
    }
    monkeypatch.setattr(EXPIRING, lambda _conn: found)
    return found


def renewal_by(renew: Renew) -> Renewal:
    publisher: Any = SimpleNamespace(
        database=SimpleNamespace(connect=nullcontext),
        runs=SimpleNamespace(abandon_dead=list),
        builder=SimpleNamespace(releaser=SimpleNamespace(signer="AAAA", key=None)),
        renew=lambda name, _origin: renew(name),
    )
    return Renewal(publisher, _stop=Impatient())


@pytest.mark.parametrize(
    ("outcome", "pause"), [(SigningFailed("gpg: no"), 60), (None, 60), (LockHeld("busy"), 0)]
)
@pytest.mark.usefixtures("expiring")
def test_what_failed_is_tried_again_after_a_pause_and_the_rest_at_each_look(
    monkeypatch: pytest.MonkeyPatch, outcome: Exception | None, pause: int
) -> None:
    now = 0.0
    clock, asked = SimpleNamespace(monotonic=lambda: now), []

    def renew(name: str) -> object:
        asked.append(name)
        if name == "two" or now > 0:
            return "renewed"
        if outcome:
            raise outcome
        return None

    monkeypatch.setattr(module, "time", clock)
    renewal = renewal_by(renew)
    assert renewal.once() == ["two"]
    for now in (59.9, 60.0):
        asked.clear()
        is_over = now >= pause
        assert renewal.once() == (["one", "two"] if is_over else ["two"])
        assert asked == (["one", "two"] if is_over else ["two"])


def test_a_worker_without_a_key_at_hand_renews_nothing_whoever_signed_it(
    expiring: dict[str, set[str | None]], caplog: pytest.LogCaptureFixture
) -> None:
    """Releases from before signers were recorded are not renewed, either."""
    expiring["one"] = {None}
    asked: list[str] = []
    renewal = renewal_by(asked.append)
    renewal.publisher.builder.releaser.signer = None  # type: ignore[misc]
    assert (renewal.once(), asked) == ([], [])
    said = [record.getMessage() for record in caplog.records]
    assert [line.split()[2] for line in said] == ["foreign", "one", "two"]


def test_a_worker_looks_again_whatever_fails_until_its_work_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The end waits for the thread for up to 10 s; a daemon thread does not keep the process."""
    outcomes = iter([Unavailable("away"), ZeroDivisionError("odd")])
    looked, made, joined = threading.Event(), [], []

    class Noted(threading.Thread):
        def start(self) -> None:
            made.append(self)
            super().start()

        def join(self, timeout: float | None = None) -> None:
            joined.append(timeout)
            super().join(timeout)

    def expiring(_conn: object) -> dict[str, set[str]]:
        if error := next(outcomes, None):
            raise error
        looked.set()
        return {}

    monkeypatch.setattr(EXPIRING, expiring)
    monkeypatch.setattr(module, "threading", SimpleNamespace(Thread=Noted))
    with renewal_by(lambda _name: None).running():
        assert looked.wait(30)
    assert [(thread.daemon, thread.is_alive()) for thread in made] == [(True, False)]
    assert joined == [10.0]
    said = [record.getMessage() for record in caplog.records]
    assert said == ["no Releases are renewed: away", "no Releases are renewed"]


@pytest.mark.usefixtures("expiring")
def test_a_worker_warns_of_its_key_once_a_day_and_at_each_change(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, warning = 0.0, ""
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(module, "expiry_warning", lambda _key, _now: warning or None)
    renewal = renewal_by(lambda _name: "renewed")
    renewal._foreign = {"foreign", "two"}
    said = []
    for at, warning_then in (
        *((0.0, ""), (10.0, "It expires"), (20.0, "It expires"), (86_409.9, "It expires")),
        *((86_410.0, "It expires"), (86_420.0, "It has expired"), (86_430.0, "")),
        (86_440.0, "It expires"),
    ):
        now, warning = at, warning_then
        caplog.clear()
        renewal.once()
        said.append([record.getMessage().partition(":")[0] for record in caplog.records])
    soon, over = ["It expires"], ["It has expired"]
    assert said == [[], soon, [], [], soon, over, [], soon]
