"""An embedded PostgreSQL is durable unless a test says otherwise."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.db import embedded
from staging_api.embedded_postgres import server


@pytest.mark.parametrize("given", [{}, {"durable": False}], ids=["left out", "of a test"])
def test_a_commit_survives_a_loss_of_power_unless_that_is_traded_for_speed(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    asked: list[tuple[Any, ...]] = []

    def acquire(home: Path, binaries: Path | None, *, database: str, durable: bool) -> Any:
        asked.append((home, binaries, database, durable))
        url = "postgresql://staging@/staging?host=/tmp"
        return server.EmbeddedServer(url, Path(), 1, 1, 1, durable, SimpleNamespace(close=list))  # type: ignore[arg-type]

    monkeypatch.setattr(server, "acquire", acquire)
    with embedded.running(Path("home"), **given):
        pass
    with server.running(Path("home"), database="other", **given):
        pass
    durable = given.get("durable", True)
    assert asked == [
        (Path("home"), None, "staging", durable),
        (Path("home"), None, "other", durable),
    ]


def test_joining_a_server_is_joining_a_durable_one() -> None:
    defaults = server.acquire.__kwdefaults__
    assert defaults == {"durable": True}
