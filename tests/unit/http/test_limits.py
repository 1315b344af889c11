"""What one caller may ask of one process."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import falcon
import pytest
from falcon.testing import create_req

from staging_api.errors import LimitExceeded, TooManyRequests
from staging_api.http.limits import CallerLimits, RequestLimits

RESPONSE = falcon.Response()


@dataclass
class Clock:
    """A clock that goes as far as it is told."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def limited(**chosen: Any) -> RequestLimits:
    return RequestLimits(**{"body_bytes": 100, "upload_bytes": 100, **chosen})


def request(caller: str = "ci", path: str = "/api/v1.0/stagings", **given: Any) -> falcon.Request:
    req = create_req(path=path, **given)
    req.uri_template = path
    req.context.caller = caller
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


def test_a_caller_may_have_so_many_requests_at_once():
    limits = CallerLimits(limited(at_once=2), Clock())
    first = begin(limits, request())
    begin(limits, request())
    with pytest.raises(TooManyRequests):
        begin(limits, request())
    limits.process_response(first, RESPONSE, None, True)
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


def test_a_resource_that_takes_files_may_be_sent_more():
    limits = CallerLimits(limited(body_bytes=10, upload_bytes=20), Clock())
    shop = SimpleNamespace(takes_files=True)
    limits.process_resource(request(body="x" * 20), RESPONSE, shop, {})
    with pytest.raises(LimitExceeded, match="20 bytes"):
        limits.process_resource(request(body="x" * 21), RESPONSE, shop, {})
