"""Limits for one caller in one process."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import falcon
import pytest
from falcon.testing import create_req

from staging_api.errors import LimitExceeded, TooManyRequests
from staging_api.http import limits as limiting
from staging_api.http.limits import CallerLimits, Refusals, RequestLimits
from staging_api.http.resources.configdocs.collections import Configdocs
from staging_api.http.resources.devserver.symbols import SymbolicateDump
from staging_api.http.resources.stagings import Stagings
from staging_api.http.resources.uploads import Uploads
from staging_api.identity.authenticators import ANONYMOUS

RESPONSE = falcon.Response()


@dataclass
class Clock:
    """Clock that the test moves."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def limited(**chosen: Any) -> RequestLimits:
    return RequestLimits(**{"body_bytes": 100, "upload_bytes": 100, **chosen})


def request(
    caller: str = "ci", path: str = "/api/v1.0/stagings", address: str = "192.0.2.1", **given: Any
) -> falcon.Request:
    req = create_req(path=path, **given)
    req.uri_template = path
    req.context.caller, req.context.client_address = caller, address
    return req


def begin(limits: CallerLimits, req: falcon.Request) -> falcon.Request:
    limits.process_resource(req, RESPONSE, SimpleNamespace(), {})
    return req


def test_a_caller_over_its_rate_gets_retry_after():
    clock = Clock()
    limits = CallerLimits(limited(per_second=2), clock)
    begin(limits, request())
    begin(limits, request())
    with pytest.raises(TooManyRequests) as refused:
        begin(limits, request())
    assert refused.value.retry_after_seconds == pytest.approx(0.5)
    clock.seconds += refused.value.retry_after_seconds or 0
    begin(limits, request())


def test_callers_do_not_use_up_each_others_share():
    limits = CallerLimits(limited(per_second=1), Clock())
    begin(limits, request("a"))
    begin(limits, request("b"))


def test_anonymous_callers_share_by_address_and_others_by_name():
    limits = CallerLimits(limited(per_second=1), Clock())
    for caller, address in (
        *((ANONYMOUS, "198.51.100.1"), (ANONYMOUS, "198.51.100.2"), (ANONYMOUS, "2a00::1")),
        *(("ci", "198.51.100.1"), ("nightly", "198.51.100.1")),
    ):
        begin(limits, request(caller, address=address))
    for caller, address in (
        *((ANONYMOUS, "198.51.100.1"), (ANONYMOUS, "2a00::2")),
        *(("ci", "198.51.100.9"), ("nightly", "198.51.100.1")),
    ):
        with pytest.raises(TooManyRequests):
            begin(limits, request(caller, address=address))


def test_of_the_callers_that_are_remembered_the_idlest_is_forgotten(monkeypatch):
    """A forgotten caller returns with a full share; one with a running request is kept."""
    monkeypatch.setattr(limiting, "_REMEMBERED_CALLERS", 3)
    limits = CallerLimits(limited(per_second=1, at_once=1), Clock())
    busy = begin(limits, request("busy"))
    for caller in ("a", "b"):
        limits.process_response(begin(limits, request(caller)), RESPONSE, None, True)
    with pytest.raises(TooManyRequests):
        begin(limits, request("a"))
    # The fourth caller: of those without a running request, b was idle for longest.
    limits.process_response(begin(limits, request("c")), RESPONSE, None, True)
    for caller in ("busy", "a", "c"):
        with pytest.raises(TooManyRequests):
            begin(limits, request(caller))
    begin(limits, request("b"))
    limits.process_response(busy, RESPONSE, None, True)


def test_so_many_callers_are_remembered():
    limits = CallerLimits(limited(per_second=1), Clock())
    begin(limits, request("first"))
    for number in range(9_999):
        limits.process_response(begin(limits, request(f"{number}")), RESPONSE, None, True)
    with pytest.raises(TooManyRequests):
        begin(limits, request("first"))


REFUSED, OTHER = "198.51.100.1", "198.51.100.2"


@pytest.mark.parametrize(
    ("chosen", "burst", "seconds"),
    [
        # As many refusals as a caller may send; else the refusals of ten seconds, at least one.
        ({"per_second": 3, "refused_per_second": 50}, 3, 1 / 3),
        ({"refused_per_second": 0.5}, 5, 2),
        ({"refused_per_second": 0.01}, 1, 100),
    ],
)
def test_an_address_may_have_so_many_requests_refused_and_comes_back_in_time(
    chosen: dict[str, float], burst: int, seconds: float
):
    clock = Clock()
    refusals = Refusals(limited(**chosen), clock)
    for _ in range(burst):
        assert refusals.under_limit_of(REFUSED)()
        refusals.count(REFUSED)
    assert not refusals.under_limit(REFUSED)
    with pytest.raises(TooManyRequests) as over:
        refusals.count(REFUSED)
    assert over.value.retry_after_seconds == pytest.approx(seconds)
    assert refusals.under_limit(OTHER)
    clock.seconds += seconds * 1.001
    assert refusals.under_limit(REFUSED)
    refusals.count(REFUSED)
    assert not refusals.under_limit(REFUSED)


def test_without_a_limit_no_refusal_is_counted():
    refusals = Refusals(limited(), Clock())
    for _ in range(1000):
        refusals.count(REFUSED)
    assert refusals.under_limit(REFUSED)


def test_a_caller_may_have_so_many_requests_at_once():
    limits = CallerLimits(limited(at_once=2), Clock())
    first = begin(limits, request())
    begin(limits, request())
    with pytest.raises(TooManyRequests):
        begin(limits, request())
    limits.process_response(first, RESPONSE, None, True)
    begin(limits, request())
    with pytest.raises(TooManyRequests):
        begin(limits, request())


def test_a_refused_request_is_not_counted_as_running():
    limits = CallerLimits(limited(at_once=1), Clock())
    first = begin(limits, request())
    over = request()
    with pytest.raises(TooManyRequests):
        begin(limits, over)
    limits.process_response(over, RESPONSE, None, False)
    limits.process_response(first, RESPONSE, None, True)
    begin(limits, request())


def test_a_slow_rate_still_lets_one_request_through():
    begin(CallerLimits(limited(per_second=0.1), Clock()), request())


def test_probes_are_never_refused():
    limits = CallerLimits(limited(per_second=1, at_once=1), Clock())
    probe = request(path="/livez")
    probe.context.needs_no_role = True
    for _ in range(5):
        begin(limits, probe)


def test_a_body_that_is_too_long_is_refused_before_it_is_read():
    limits = CallerLimits(limited(body_bytes=10), Clock())
    begin(limits, request(body="x" * 10))
    with pytest.raises(LimitExceeded):
        begin(limits, request(body="x" * 11))


def test_packages_documents_and_dumps_are_files_and_a_request_for_artifacts_is_none():
    for resource in (Uploads, Configdocs, SymbolicateDump):
        assert resource.takes_files
    assert not hasattr(Stagings, "takes_files")


def test_a_resource_that_takes_files_may_be_sent_more():
    limits = CallerLimits(limited(body_bytes=10, upload_bytes=20), Clock())
    shop = SimpleNamespace(takes_files=True)
    limits.process_resource(request(body="x" * 20), RESPONSE, shop, {})
    with pytest.raises(LimitExceeded, match=r"has 21 bytes, .* 20 \(STAGING_MAX_UPLOAD_BYTES\)"):
        limits.process_resource(request(body="x" * 21), RESPONSE, shop, {})
