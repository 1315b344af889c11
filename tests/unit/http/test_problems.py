"""Problem documents: every error becomes JSON, whatever its message contains."""

import errno
from datetime import UTC, datetime, timedelta, timezone
from tempfile import gettempdir

import falcon
import pytest
from falcon import testing

from staging_api.errors import LockHeld
from staging_api.http.problems import MEDIA_PROBLEM, add_error_handlers


class Refusing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def on_get(self, _req: falcon.Request, _resp: falcon.Response) -> None:
        raise self.error


@pytest.mark.parametrize(
    "detail",
    ["held by ci", 'é \u2028 \x00 \x7f "', "a name of half a pair: \udcff", "\ud83d"],
    ids=["plain", "escaped", "half a pair", "the other half"],
)
def test_an_error_is_told_whatever_is_in_its_text(detail: str) -> None:
    ends = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    began = datetime(2026, 1, 2, 5, 4, 5, 6000, tzinfo=timezone(timedelta(hours=2)))
    lock = {"id": None, "expires_at": ends, "acquired_at": began, "expires_in_seconds": 1.5}
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
    add_error_handlers(app)
    app.add_route("/held", Refusing(LockHeld(detail, extra={"lock": lock})))
    app.add_route("/other", Refusing(LockHeld("other")))
    client = testing.TestClient(app)
    found, other = client.simulate_get("/held"), client.simulate_get("/other")
    assert found.status_code == other.status_code == 409
    assert found.headers["content-type"] == MEDIA_PROBLEM
    assert found.json["detail"] == detail
    assert found.json["lock"] == {
        **lock,
        "expires_at": "2026-01-02T03:04:05Z",
        "acquired_at": "2026-01-02T05:04:05.006000+02:00",
    }
    assert other.json["detail"] == "other"
    assert "lock" not in other.json


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (OSError(errno.ENOSPC, "x"), 503, f"the disk of {gettempdir()} is full"),
        (OSError(errno.EDQUOT, "x"), 503, f"the disk quota of {gettempdir()} is full"),
        (OSError(errno.EMFILE, "x"), 503, "short of a thread, a file descriptor or memory"),
        (MemoryError(), 503, "short of a thread, a file descriptor or memory"),
        (OSError(errno.ENOENT, "x"), 500, "an unexpected error"),
        (ValueError("x"), 500, "an unexpected error"),
    ],
    ids=repr,
)
def test_what_the_machine_lacks_is_said_and_passes(
    error: Exception, status: int, detail: str
) -> None:
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
    add_error_handlers(app)
    app.add_route("/refused", Refusing(error))
    found = testing.TestClient(app).simulate_get("/refused")
    assert found.status_code == status
    assert detail in found.json["detail"]
    assert found.json["retryable"] is (status == 503)
    assert ("retry-after" in found.headers) is (status == 503)
