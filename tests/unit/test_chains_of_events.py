"""Check of the record of events: a whole record passes, contradictions are located."""

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.staging import audit
from staging_api.staging.audit import DIGESTED, AuditVerdict, Break, verify
from staging_api.staging.repository import event_rows


def event(chain: str, number: int, previous: str | None, **facts: Any) -> SimpleNamespace:
    """Return an event as it is stored, with the right digest."""
    row = SimpleNamespace(**dict.fromkeys(DIGESTED), chain=chain, before_end=True)
    row.__dict__.update(id=f"{chain}{number}", staging_id=chain, number=number, kind="staging")
    row.__dict__.update(to_state="queued", previous_digest=previous)
    row.__dict__.update(facts)
    made: Any = row
    row.digest = audit.digest_of(made)
    return row


def chain_of(name: str, states: Sequence[str], dropped: int = 0) -> list[SimpleNamespace]:
    """Return the events of a staging with these states, each with the facts of its staging."""
    rows: list[SimpleNamespace] = []
    for number, state in enumerate(states, dropped + 1):
        previous = rows[-1].digest if rows else ("0" * 64 if dropped else None)
        rows.append(event(name, number, previous, to_state=state, message="größer"))
    stated(rows, name, states[-1], dropped)
    return rows


def stated(rows: list[SimpleNamespace], name: str, state: str, dropped: int = 0) -> None:
    for row in rows:
        row.staging, row.state, row.events_dropped = name, state, dropped
        row.events_count, row.events_digest = rows[-1].number, rows[-1].digest


def checked(
    monkeypatch: pytest.MonkeyPatch,
    *chains: list[SimpleNamespace],
    contradictions: Sequence[tuple[str, str]] = (),
) -> AuditVerdict:
    rows = [row for chain in chains for row in chain]
    monkeypatch.setattr(event_rows, "chains", lambda *_given: iter(rows))
    monkeypatch.setattr(event_rows, "contradictions", lambda *_given: contradictions)
    database: Any = SimpleNamespace(begin=nullcontext)
    return verify(database)


def whole() -> list[SimpleNamespace]:
    return chain_of("s1", ["queued", "running", "staged"])


OTHER = ["queued", "running"]


def test_a_whole_record_has_no_break_and_a_head_of_its_newest_digests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, other, cut = whole(), chain_of("s2", OTHER), chain_of("s3", OTHER, dropped=4)
    found = checked(monkeypatch, first, other, cut)
    assert (found.stagings, found.events, found.breaks) == (3, 7, ())
    seals = f"s1 3 {first[-1].digest}\ns2 2 {other[-1].digest}\ns3 6 {cut[-1].digest}\n"
    assert found.head == hashlib.sha256(seals.encode()).hexdigest()
    # Events after the end of the period are ignored.
    first[-1].before_end = False
    for row in other:
        row.before_end = False
    seals = f"s1 2 {first[1].digest}\ns2 0 \ns3 6 {cut[-1].digest}\n"
    again = checked(monkeypatch, first, other, cut)
    assert (again.head, again.breaks) == (hashlib.sha256(seals.encode()).hexdigest(), ())


def test_the_digest_of_an_event_is_of_its_text_as_it_is() -> None:
    (row,) = chain_of("s1", ["queued"])
    text = "[" + ", ".join(
        "null" if value is None else str(value) if isinstance(value, int) else f'"{value}"'
        for value in (getattr(row, name) for name in DIGESTED)
    )
    assert row.digest == hashlib.sha256(f"{text}]".encode()).hexdigest()


def without(number: int) -> list[SimpleNamespace]:
    return [row for row in whole() if row.number != number]


def twice() -> list[SimpleNamespace]:
    rows = whole()
    branch = event("s1", 3, rows[1].digest, to_state="staged", message="again")
    stated([*rows, branch], "s1", "staged")
    return [*rows, branch]


def relinked() -> list[SimpleNamespace]:
    rows = whole()
    rows[1] = event("s1", 2, "9" * 64, to_state="running")
    rows[2] = event("s1", 3, rows[1].digest, to_state="staged")
    stated(rows, "s1", "staged")
    return rows


def altered() -> list[SimpleNamespace]:
    rows = whole()
    rows[1].actor = "someone else"
    return rows


def gone() -> list[SimpleNamespace]:
    rows = whole()
    for row in rows:
        row.staging = None
    return rows


def never_recorded() -> list[SimpleNamespace]:
    row = event("s1", 1, None)
    row.id = None
    stated([row], "s1", "queued")
    row.events_count, row.events_digest = 0, None
    return [row]


def otherwise() -> list[SimpleNamespace]:
    rows = whole()
    stated(rows, "s1", "failed")
    return rows


def counted(number: int = 3, digest: str | None = None) -> list[SimpleNamespace]:
    rows = whole()
    for row in rows:
        row.events_count = number
        row.events_digest = digest or rows[-1].digest
    return rows


NEWEST = "its newest events differ from those that it counted"
BROKEN: dict[str, tuple[list[SimpleNamespace], list[tuple[int | None, str]]]] = {
    "the first is gone": (without(1), [(2, "event 1 is gone")]),
    "one between is gone": (without(2), [(3, "event 2 is gone")]),
    "the last is gone": (
        without(3),
        [(None, NEWEST), (None, "it is staged, its events say running")],
    ),
    "one is there twice": (twice(), [(3, "a second branch")]),
    "another link": (relinked(), [(2, "it does not follow from the event before it")]),
    "altered": (altered(), [(2, "it was altered")]),
    "the staging is gone": (
        gone(),
        [(None, "the row of the staging is missing, but its events exist")],
    ),
    "never recorded": (
        never_recorded(),
        [(None, "it has no event, not even that it was made")],
    ),
    "another state": (otherwise(), [(None, "it is failed, its events say staged")]),
    "more were counted": (counted(4), [(None, NEWEST)]),
    "another digest was counted": (counted(3, "8" * 64), [(None, NEWEST)]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_break_is_named_with_its_place_and_other_stagings_have_none(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rows, breaks = BROKEN[name]
    found = checked(monkeypatch, rows, chain_of("s2", OTHER))
    assert found.breaks == tuple(Break("s1", number, what) for number, what in breaks)
    assert found.stagings == 2
    assert found.events == sum(row.id is not None for row in rows) + 2


def test_an_event_of_an_artifact_says_nothing_of_the_state_of_its_staging(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = chain_of("s1", ["queued", "running"])
    rows.append(event("s1", 3, rows[-1].digest, kind="artifact", to_state="staged"))
    stated(rows, "s1", "running")
    assert checked(monkeypatch, rows).breaks == ()


def test_an_artifact_that_is_not_as_its_newest_event_says_is_a_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = checked(monkeypatch, whole(), contradictions=[("s1", "a1"), ("s2", "a2")])
    assert found.breaks == tuple(
        Break(staging, None, f"artifact {artifact} is not as its newest event says")
        for staging, artifact in (("s1", "a1"), ("s2", "a2"))
    )
