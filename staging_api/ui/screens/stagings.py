"""A staging: its progress, the duration of each step, its events, and the reasons of failures."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from staging_api.errors import Invalid
from staging_api.staging.lists import StagingFilter
from staging_api.staging.model import Staging, StagingEvent
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import last_segment
from staging_api.ui.lanes import axis_of
from staging_api.ui.screen import ScreenContent, View
from staging_api.vocabulary.staging import FINAL_STATES, STAGING_STATES

_PAGE = 50
_EVENTS_SHOWN = 1000
#: Of the list: those that are not final.
UNFINISHED = "unfinished"
_MOOD = {"failed": "bad", "staged": "ok", "cancelled": "warn"}


@dataclass(frozen=True)
class StagingStep:
    """A step of a staging; `at` is None if the step has not been reached.

    Attributes:
        since: when the previous step was reached: the time in between is shown.
    """

    state: str
    at: datetime | None
    since: datetime | None


def show_all(deps: UiDependencies, view: View) -> ScreenContent:
    """List stagings, the newest first: of a state, with an error, of a caller.

    Raises:
        Invalid: no staging has such a state.
    """
    given = {name: view.query.get(name, "") for name in ("state", "error_code", "caller")}
    states = (UNFINISHED, *STAGING_STATES)
    if given["state"] and given["state"] not in states:
        raise Invalid.field("state", f"must be one of {', '.join(states)}")
    equal = {name: value for name, value in given.items() if value and value != UNFINISHED}
    only = StagingFilter(equal, unfinished=given["state"] == UNFINISHED)
    after = view.query.get("after") or None
    page = deps.api.stagings.page(limit=_PAGE, after=after, only=only)
    named = "".join(f" {key}={shlex.quote(value)}" for key, value in equal.items())
    return ScreenContent(
        "stagings.html",
        "Stagings" + named,
        {"page": page, "given": given, "states": states},
        copies=Copies(
            api_path("/stagings", limit=_PAGE, after=after, **equal),
            python="for staging in client.stagings("
            + ", ".join(f"{key}={value!r}" for key, value in equal.items())
            + "): print(staging.state, staging.archive_url)",
        ),
    )


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """Show a staging; with `only=failures` only the events that explain a failure."""
    stagings = deps.api.stagings
    staging = stagings.find(view.params["staging_id"])
    # The timeline is drawn from the first page, whichever page of events is shown.
    first = shown = stagings.records.events(staging.id, limit=_EVENTS_SHOWN)
    if after := _number(view.after("events")):
        shown = stagings.records.events(staging.id, limit=_EVENTS_SHOWN, after=after)
    only_failures = view.query.get("only") == "failures"
    name = last_segment(staging.archive_url)
    # An artifact that was evicted later had been staged, so its part of the work was done.
    done = sum(each.settled or each.state == "evicted" for each in staging.artifacts)
    progress = f"{done} of {len(staging.artifacts)}"
    said = staging.state.replace("_", " ")
    return ScreenContent(
        "staging.html",
        f"{name} {said}" if staging.final else f"{progress} {name} {said}",
        {
            "staging": staging,
            "name": name,
            "progress": progress,
            "bytes_done": sum(artifact.bytes_done for artifact in staging.artifacts),
            "rate": sum(artifact.bytes_per_second or 0 for artifact in staging.artifacts),
            "steps": _steps(staging, first.items),
            "axis": axis_of(staging, first.items, view.now),
            "drawn_events": len(first.items) if first.next else None,
            "events": [e for e in shown.items if not only_failures or _is_failure(e)],
            "page": shown,
            "only_failures": only_failures,
            "breaks": stagings.records.breaks(staging.id),
        },
        mood=_MOOD.get(staging.state, "busy"),
        live=not staging.final,
        copies=Copies(
            api_path(f"/stagings/{staging.id}"),
            cli=f"staging-api wait {staging.id}",
            python=f'staging = client.staging("{staging.id}"); print(staging.state)',
            sql="SELECT number, at, kind, name, from_state, to_state, actor, code, message\n"
            "FROM staging_events WHERE staging_id = :id ORDER BY number;",
            values={"id": staging.id},
        ),
    )


def _number(text: str | None) -> int:
    """Return the number of an event in the address of a page."""
    if text is None:
        return 0
    # `isdecimal` alone accepts digits of other scripts. Nine digits fit into the column.
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004 - an int
        raise Invalid.field("events_after", "must be the number of an event")
    return int(text)


def _steps(staging: Staging, events: Sequence[StagingEvent]) -> list[StagingStep]:
    """Return the steps in order: those reached, then those still to come."""
    reached: dict[str, datetime] = {}
    for event in events:
        if event.kind == "staging" and event.to_state:
            reached.setdefault(event.to_state, event.at)
    if staging.finished_at is not None:
        # Its event may come after the last one that is shown.
        reached.setdefault(staging.state, staging.finished_at)
    way = [state for state in STAGING_STATES if state not in FINAL_STATES]
    if staging.final:
        way = [state for state in way if state in reached]
    way.append(staging.state if staging.final else FINAL_STATES[0])
    steps: list[StagingStep] = []
    before: datetime | None = None
    for state in way:
        at = reached.get(state)
        steps.append(StagingStep(state, at, before))
        before = at or before
    return steps


def _is_failure(event: StagingEvent) -> bool:
    ended = {state for state in FINAL_STATES if state != "staged"}
    return event.code is not None or event.to_state in ended
