"""Rows of an auditor's question: 200 on a page, 100,000 in a file; and contents of cells."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import falcon
import pytest
from falcon.testing import create_environ

from staging_api.staging.audit_questions import AuditAnswer
from staging_api.ui.audit_csv import AuditCsv, _harmless
from staging_api.ui.screens import audit


@dataclass
class Audit:
    """Answers every question with the same rows; replaces `api` and `audit` of the services."""

    rows: list[tuple[object, ...]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    more: bool = False
    name: str = "evicted"
    question: str = "What was evicted?"
    sql: str = "SELECT :since"
    parameters: tuple[str, ...] = ()

    @property
    def api(self) -> "Audit":
        return self

    audit = api

    def find(self, _name: str) -> "Audit":
        return self

    def defaults(self) -> Mapping[str, Any]:
        return {"since": datetime(2026, 11, 29, 10, 0, 1, 5, tzinfo=UTC), "allowed": ["a", "b"]}

    def ask(self, _query: object, _given: object, most: int) -> AuditAnswer:
        self.asked.append(most)
        return AuditAnswer(["name", "bytes"], self.rows, more=self.more)


@dataclass
class Asked:
    """Request for a page address."""

    query: Mapping[str, str]


def shown(given: Audit, **query: str) -> Any:
    return audit.show(cast(Any, given), cast(Any, Asked({"question": "evicted", **query})))


def test_a_page_asks_for_200_rows_once_it_is_filled_in() -> None:
    plain, filled = Audit(), Audit(parameters=("since",))
    assert shown(plain).status == 200
    assert plain.asked == [200]
    assert shown(filled).context["answer"] is None
    assert shown(filled, run="no").context["answer"] is None
    assert filled.asked == []
    assert shown(filled, run="yes").context["answer"] is not None
    assert filled.asked == [200]


def test_fields_are_filled_in_with_what_was_given_or_is_usual() -> None:
    given = Audit(parameters=("since", "allowed", "caller"))
    assert shown(given).context["values"] == {
        "since": "2026-11-29 10:00:01",
        "allowed": "a,b",
        "caller": "",
    }
    content = shown(given, **{"p.caller": " it's ", "p.since": " ", "other": "x"})
    assert content.context["values"]["caller"] == "it's"
    assert content.context["values"]["since"] == "2026-11-29 10:00:01"
    assert content.context["csv"] == "/ui/audit/csv?question=evicted&p.caller=it%27s"
    assert content.copies.cli == "staging-api audit evicted 'caller=it'\"'\"'s'"
    assert not content.live


def sent(given: Audit) -> falcon.Response:
    resp = falcon.Response()
    request = falcon.Request(create_environ("/ui/audit/csv", query_string="question=evicted"))
    AuditCsv(cast(Any, given)).on_get(request, resp)
    return resp


def test_a_file_that_is_cut_off_says_so_in_a_header_and_its_last_line() -> None:
    resp = sent(Audit([("payload", 5)], more=True))
    assert resp.get_header("X-Truncated") == "true"
    assert resp.data is not None
    said = "cut off after 100000 rows: `staging-api audit evicted` has all"
    assert resp.data.decode().splitlines() == ["name,bytes", "payload,5", said]


def test_a_file_has_as_many_as_100_000_rows() -> None:
    given = Audit([("payload", 5), ("=1", -1)])
    resp = sent(given)
    assert resp.get_header("X-Truncated") is None
    assert given.asked == [100_000]
    assert resp.data is not None
    assert list(csv.reader(io.StringIO(resp.data.decode()))) == [
        ["name", "bytes"],
        ["payload", "5"],
        ["'=1", "-1"],
    ]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\ta", "\ra"])
def test_a_text_that_a_spreadsheet_would_run_has_an_apostrophe(text: str) -> None:
    assert _harmless(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "cell"), [("a=1", "a=1"), (-1, "-1"), (Decimal("-1.5"), "-1.5"), (None, "")]
)
def test_harmless_cells_are_not_changed(value: object, cell: str) -> None:
    assert _harmless(value) == cell
