"""Audit: the auditors' questions, their answers and SQL; and the check of the record."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from staging_api.documents.audit import verify_documents
from staging_api.errors import Invalid
from staging_api.staging.audit_questions import TIMES, AuditAnswer, AuditQuestions, cell, time_of
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.screen import Form, ScreenAction, ScreenContent, View

#: Maximum number of rows on a page; the CSV file has more.
_ROWS = 200
_PARAMETER = "p."


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """List the questions; or show the form of one and, once it is filled in, its answer."""
    name = view.query.get("question", "")
    return _question(deps.api.audit, view, name) if name else _all(deps.api.audit)


def given_of(query: Mapping[str, str]) -> dict[str, str]:
    """Return the non-empty parameters of a question in an address."""
    return {
        key.removeprefix(_PARAMETER): value.strip()
        for key, value in query.items()
        if key.startswith(_PARAMETER) and value.strip()
    }


def _answer(
    audit: AuditQuestions, name: str, given: Mapping[str, str]
) -> tuple[AuditAnswer | None, Invalid | None]:
    """Return the answer, or else the error in the parameters."""
    try:
        return audit.ask(audit.find(name), given, _ROWS), None
    except Invalid as error:
        return None, error


def _all(audit: AuditQuestions, verdict: Mapping[str, Any] | None = None) -> ScreenContent:
    return ScreenContent(
        "audit.html",
        "Audit",
        {"questions": audit.all, "verdict": verdict},
        live=False,
        copies=Copies(api_path("/events"), cli="staging-api audit verify"),
    )


def _question(audit: AuditQuestions, view: View, name: str) -> ScreenContent:
    query = audit.find(name)
    given = given_of(view.query)
    defaults = {key: _text(value) for key, value in audit.defaults().items()}
    values = {key: given.get(key) or defaults.get(key, "") for key in query.parameters}
    is_asked = view.query.get("run") == "yes" or not query.parameters
    answer, wrong = _answer(audit, name, given) if is_asked else (None, None)
    arguments = "".join(f" {shlex.quote(f'{key}={value}')}" for key, value in given.items())
    return ScreenContent(
        "audit_question.html",
        query.question,
        {
            "query": query,
            "values": values,
            "times": TIMES,
            "answer": answer,
            "text": _text,
            "wrong": wrong.detail if wrong else "",
            "wrong_fields": _by_field(wrong),
            "csv": "/ui/audit/csv?" + urlencode({"question": name, **_named(given)}),
        },
        status=400 if wrong else 200,
        live=False,
        copies=Copies(
            api_path("/events"),
            cli=f"staging-api audit {name}{arguments}",
            sql=f"{query.sql};",
            values=values,
        ),
    )


def _text(value: object) -> str:
    """Format a value for a page: times to the second."""
    if isinstance(value, datetime):
        return value.replace(microsecond=0, tzinfo=None).isoformat(" ")
    return ",".join(map(str, value)) if isinstance(value, list) else cell(value)


def _by_field(wrong: Invalid | None) -> Mapping[str, str]:
    return {each.field: each.message for each in wrong.errors} if wrong else {}


def _named(given: Mapping[str, str]) -> Mapping[str, str]:
    return {f"{_PARAMETER}{key}": value for key, value in given.items()}


def _verify(deps: UiDependencies, _view: View, form: Form) -> ScreenContent:
    since, until = (_time(form, name) for name in ("since", "until"))
    verdict = deps.api.audit.verify(since, until)
    of_documents = verify_documents(deps.api.documents.database, until)
    found = {
        "since": since,
        "until": until,
        "stagings": verdict.stagings,
        "events": verdict.events,
        "head": verdict.head,
        "breaks": verdict.breaks,
        "document_events": of_documents.events,
        "document_head": of_documents.head,
        "document_breaks": of_documents.breaks,
    }
    whole = not verdict.breaks and not of_documents.breaks
    shown = _all(deps.api.audit, found)
    title = "The record is whole" if whole else "The record is broken"
    return replace(shown, title=title, mood="ok" if whole else "bad")


def _time(form: Form, name: str) -> datetime | None:
    return time_of(name, form[name]) if form.get(name) else None


VERIFY = ScreenAction("GET /events", _verify, "Nothing was changed.")
