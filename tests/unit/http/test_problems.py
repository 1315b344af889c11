"""Problem documents: whatever an error tells, its answer is JSON."""

from datetime import UTC, datetime, timedelta, timezone

import falcon
import pytest
from falcon import testing

from staging_api.errors import LockHeld, StagingApiError
from staging_api.http.problems import MEDIA_PROBLEM, add_error_handlers


class Refusing:
    def __init__(self, error: StagingApiError) -> None:
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
