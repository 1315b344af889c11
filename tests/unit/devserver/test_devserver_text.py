"""Devserver requests and responses: parsing and formatting."""

import pytest
from falcon import Request, Response
from falcon.testing import create_environ

from staging_api.devserver.builds import version_key
from staging_api.devserver.control_files import suite_paths
from staging_api.devserver.joining import WaiterSlots
from staging_api.devserver.load import Counters, Rates
from staging_api.errors import (
    ArchiveCorrupt,
    Invalid,
    SourceFailed,
    TooManyRequests,
    Unavailable,
)
from staging_api.http.resources.devserver.answers import (
    legible,
    status_error,
    text_error,
    word_error,
)
from staging_api.http.resources.devserver.query import Query
from tests.devserver_client import stripped


def asked(path: str, text: str = "") -> Request:
    return Request(create_environ(path, query_string=text))


def query(text: str) -> Query:
    return Query(asked("/stage", text))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("archive_url=gs://b/x/R17", "gs://b/x/R17"),
        ("a=1&archive_url=gs://b/x/R17&b=2", "gs://b/x/R17"),
        ("archive_url=gs%3A%2F%2Fb%2Fx%2FR17", "gs://b/x/R17"),
        ("archive_url=gs://b/x+y/R17=1", "gs://b/x+y/R17=1"),
        ("archive_url=&archive_url=gs://b/x", "gs://b/x"),
    ],
)
def test_values_are_understood_encoded_or_not_in_any_order(written, meant):
    assert query(written).get("archive_url") == meant


@pytest.mark.parametrize("written", ["", "archive_url", "archive_url=", "other=1", "&&="])
def test_an_empty_value_is_none(written):
    assert query(written).get("archive_url") is None
    with pytest.raises(Invalid, match="archive_url"):
        query(written).required("archive_url")


def test_two_values_of_one_name_are_refused_rather_than_guessed():
    with pytest.raises(Invalid, match="target"):
        query("target=a&target=b")


def test_lists_have_commas_and_no_empty_words():
    assert query("files=a,,b,").words("files") == ["a", "b"]
    assert query("files=").words("files") == []


@pytest.mark.parametrize(
    ("word", "yes"), [("True", True), ("true", True), ("1", True), ("False", False), ("", False)]
)
def test_a_flag_is_what_python_prints(word, yes):
    assert query(f"async={word}").flag("async") is yes


def test_a_message_survives_the_client_that_strips_tags_whole():
    text = legible("no <b>x</b> & y; the source said 'Service Unavailable'\nProxy Error")
    assert stripped(text.encode()) == text
    assert "\n" not in text
    for signal in ("Service Unavailable", "Proxy Error"):
        assert signal not in text


def test_a_message_is_cut_to_what_such_a_client_can_show():
    assert legible("x" * 5000) == "x" * 1000


FAILED = SourceFailed("the <source> is away", retry_after_seconds=7)


@pytest.mark.parametrize("status", [400, 404, 422, 499, 500, 501, 502, 504, 507])
def test_what_says_nothing_to_such_a_client_is_a_500(status):
    for form, text in ((text_error, b""), (word_error, b"DownloaderException: ")):
        resp = Response()
        form(asked("/stage"), resp, status, FAILED)
        assert resp.status_code == 500
        assert resp.data == text + b"the (source) is away"
        assert resp.content_type == "text/plain; charset=utf-8"
        assert resp.get_header("Retry-After") == "7"


@pytest.mark.parametrize("status", [401, 403, 405, 409, 413, 415, 429, 503])
def test_what_says_something_to_an_operator_stays(status):
    for form in (text_error, word_error, status_error):
        resp = Response()
        form(asked("/stage"), resp, status, FAILED)
        assert resp.status_code == status


def test_a_client_that_knows_statuses_gets_each_as_it_is():
    resp = Response()
    status_error(asked("/download/b/x"), resp, 404, FAILED)
    assert (resp.status_code, resp.data) == (404, b"the (source) is away")
    assert resp.get_header("Retry-After") == "7"


@pytest.mark.parametrize("error", [Unavailable("away"), TooManyRequests("many")])
def test_what_passes_by_itself_is_the_word_that_makes_the_client_ask_again(error):
    resp = Response()
    word_error(asked("/stage"), resp, 503, error)
    assert (resp.status_code, resp.data) == (200, b"Service Unavailable")


@pytest.mark.parametrize(
    ("written", "seconds"), [("0", 0), ("1.5", 1.5), ("86400", 86400), ("0.01", 0.01)]
)
def test_a_wait_for_an_upload_is_a_number_of_seconds_of_a_day(written, seconds):
    assert query(f"upload_wait_seconds={written}").upload_wait_seconds == seconds
    assert query("other=1").upload_wait_seconds is None


@pytest.mark.parametrize("written", ["-1", "-0.1", "86401", "86400.5", "nan", "inf", "soon", "1e9"])
def test_another_wait_is_refused(written):
    with pytest.raises(Invalid, match="upload_wait_seconds: must be a number from 0 to 86400"):
        assert query(f"upload_wait_seconds={written}").upload_wait_seconds


def test_versions_are_ordered_by_number_not_by_letter():
    names = ["R17-9.0.0-a1-b2", "R17-10.0.0-a1-b1", "R17-10.0.0-a1-b10", "R9-99.0.0", "R17-10.0"]
    names += ["R17-10.0.rc-1", "R17-10.0.x", "R17-10.0.99"]
    assert sorted(names, key=version_key) == [
        "R9-99.0.0",
        "R17-9.0.0-a1-b2",
        "R17-10.0",
        "R17-10.0.0-a1-b1",
        "R17-10.0.0-a1-b10",
        "R17-10.0.99",
        "R17-10.0.rc-1",
        "R17-10.0.x",
    ]


def test_versions_of_numbers_that_python_does_not_read_are_ordered():
    small, large = f"R17-{'1' * 5000}", f"R17-{'2' * 5000}"
    assert sorted([large, small, "R17-9"], key=version_key) == ["R17-9", small, large]
    assert version_key("R17-010") == version_key("R17-10")


@pytest.mark.parametrize("suites", [b"{", b"[]", b'{"bvt": 1}', b"\xff", b"[" * 100_000])
def test_a_map_of_suites_that_is_none_is_refused(suites: bytes):
    with pytest.raises(ArchiveCorrupt, match="no map"):
        suite_paths(suites, "bvt")


def test_suite_paths_are_those_that_the_map_lists():
    suites = b'{"bvt": ["a/control", "b/control"], "dailies": ["c/control"]}'
    assert suite_paths(suites, "bvt") == ["a/control", "b/control"]
    assert suite_paths(suites, "weeklies") == []


def counters(at: float, busy: int, ticks: int, network: int = 0, disk: int = 0) -> Counters:
    return Counters(at, busy, ticks, network, disk)


def test_rates_are_over_the_time_between_two_readings(monkeypatch):
    readings = [
        counters(100.0, 10, 100),
        counters(100.5, 1000, 1000),
        counters(104.0, 10 + 123, 100 + 1000, 4000, 6000),
        counters(104.9, 1, 1, 1, 1),
        counters(106.0, 10 + 123, 100 + 1000, 4000, 6010),
    ]
    monkeypatch.setattr(Counters, "read", iter(readings).__next__)
    rates = Rates()
    found = [tuple(rates.now().values()) for _ in range(4)]
    assert found == [(0.0, 0, 0), (12.3, 1000, 1500), (12.3, 1000, 1500), (0.0, 0, 5)]


def test_load_is_a_rate_since_the_last_reading():
    shown = Rates(seconds=0).now()
    assert 0 <= shown["cpu_percent"] <= 100
    assert shown["network_total_bytes_per_second"] >= 0
    assert shown["disk_total_bytes_per_second"] >= 0


def test_a_system_without_counters_has_no_load(tmp_path):
    assert Counters.read(tmp_path).cpu_all == 0


def test_whole_disks_and_all_interfaces_but_loopback_are_counted(tmp_path, monkeypatch):
    """A device that is stacked on a disk, and a partition, would count the same bytes again."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "dev").write_text(
        "Inter-| Receive | Transmit\n face |bytes packets\n"
        + "".join(
            f"{name}: {received} 0 0 0 0 0 0 0 {sent} 0\n"
            for name, received, sent in [("lo", 1000, 1000), ("eth0", 1, 2), ("eth1", 4, 8)]
        )
    )
    whole = {"sda", "nvme0n1", "loop0", "ram0", "dm-0", "md0"}
    (tmp_path / "diskstats").write_text(
        "".join(
            f" 8 0 {name} 0 0 {read} 0 0 0 {written} 0\n"
            for name, read, written in [
                *[("sda", 1, 2), ("sda1", 1000, 1000), ("nvme0n1", 4, 8)],
                *((name, 1000, 1000) for name in ("loop0", "ram0", "dm-0", "md0")),
            ]
        )
    )
    monkeypatch.setattr("staging_api.devserver.load._is_whole", whole.__contains__)
    found = Counters.read(tmp_path)
    assert (found.network_bytes, found.disk_bytes) == (15, 15 * 512)


def test_the_last_waiter_slot_is_taken_once_and_again_when_it_is_free():
    waiter_slots = WaiterSlots(1)
    with waiter_slots.one():
        assert waiter_slots.taken == 1
        with pytest.raises(Unavailable), waiter_slots.one():
            pass
    with waiter_slots.one():
        assert waiter_slots.taken == 1
