"""Rows printed by verbs: one column per value, empty where there is no value."""

from collections.abc import Callable

import pytest

from staging_api.cli import main
from tests.scripted_service import STAGING_ID, Seen, Step, artifact, says, service, staging

Printed = Callable[..., list[str]]

AT = "2026-11-22T09:00:00Z"


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Return the lines that a verb prints for this response, with single spaces."""

    def run(answer: object, *arguments: str) -> list[str]:
        def script(seen: Seen) -> Step:
            return says(200, {"links": {}} if seen.path == "/" else answer)

        with service(script) as running:
            monkeypatch.setenv("STAGING_SERVER", running.url)
            with pytest.raises(SystemExit) as ended:
                main(arguments)
        assert not ended.value.code
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return run


def listed(*items: object) -> dict[str, object]:
    return {"items": items, "next": None}


def test_artifacts(printed: Printed) -> None:
    pinned = artifact(pinned_until=AT)
    lacking = artifact(id="B", state="missing", url=None, size_bytes=None)
    assert printed(listed(pinned, lacking), "artifacts") == [
        f"{pinned['id']} staged pinned 12.3 MB full_payload {pinned['url']}",
        "B missing full_payload board/R17-1/update.gz",
    ]


@pytest.mark.parametrize("known", [True, False])
def test_an_artifact_with_what_is_known_of_it(printed: Printed, known: bool) -> None:
    facts: dict[str, object] = {
        "source_url": "gs://b/o",
        "staged_at": AT,
        "last_accessed_at": AT,
        "evicted_at": AT,
    }
    if not known:
        facts = dict.fromkeys((*facts, "sha256"), None)
    shown = artifact(state="evicted", archive_url="gs://b", pinned_until=None, **facts)
    head, *lines = printed(shown, "artifacts", "A")
    assert head == f"evicted full_payload of gs://b ({shown['id']})"
    at = AT.replace("Z", "+00:00")
    rest = [
        "from gs://b/o",
        f"staged {at}",
        f"last read {at}",
        f"evicted {at}",
        f"sha256 {'0' * 64}",
    ]
    assert lines == (rest if known else [])


def test_builds(printed: Printed) -> None:
    asked = {"state": "staged", "created_at": "2026-11-22T09:00:00.123Z"}
    counts = {"staged": 2, "failed": 1}
    one = {"archive_url": "gs://a", "staging": asked, "size_bytes": 5, "artifacts": counts}
    none: dict[str, object] = {
        "archive_url": "gs://b",
        "staging": None,
        "size_bytes": 0,
        "artifacts": {},
    }
    assert printed(listed(one, none), "builds") == [
        "gs://a staged 2026-11-22T09:00:00 5 bytes 1 failed, 2 staged",
        "gs://b 0 bytes",
    ]


def test_processes(printed: Printed) -> None:
    seen: dict[str, object] = {"kind": "api", "busy": 1, "places": 4, "waiting": 2}
    seen |= {"version": "1.0", "build": "b", "seen_at": "2026-11-22T09:00:00.123Z"}
    states = {"alive": (True, False), "ending": (True, True), "not seen": (False, False)}
    rows = [
        {**seen, "name": f"pod-{name}", "alive": alive, "draining": draining}
        for name, (alive, draining) in states.items()
    ]
    assert printed(listed(*rows), "processes") == [
        f"pod-{name} api {name} 1 of 4 busy 2 wait 1.0 b 2026-11-22T09:00:00" for name in states
    ]


def test_events_of_all_stagings(printed: Printed) -> None:
    event = {"number": 3, "at": AT, "kind": "artifact", "actor": "worker", "staging_id": "S"}
    failed = {"from_state": "staging", "to_state": "failed", "code": "no_space", "message": "full"}
    at = AT.replace("Z", "+00:00")
    found = printed(
        listed(
            {**event, "name": "images", **failed},
            {**event, "kind": "staging", "to_state": "queued"},
            {**event, "kind": "cancel_requested"},
        ),
        "events",
    )
    assert found == [
        f"S 3 {at} images staging -> failed (no_space) full by worker",
        f"S 3 {at} staging -> queued by worker",
        f"S 3 {at} staging cancel_requested by worker",
    ]


def test_a_staging_with_what_failed_was_left_out_or_came_later(printed: Printed) -> None:
    failure = {"code": "no_space", "retryable": True, "message": "the store is full"}
    later = {"url": None, "error": failure, "brought_since_by": "01LATER", "warnings": ["a link"]}
    head, first, second, warning = printed(
        staging("failed", artifacts=[artifact(**later), artifact(name="other", sha256=None)]),
        *("status", STAGING_ID),
    )
    assert head == f"failed gs://builds/board/R17-1 ({STAGING_ID})"
    assert "the store is full (brought since by 01LATER)" in first
    assert second == "other staged 12.3 MB /static/board/R17-1/update.gz"
    assert warning == "full_payload: a link"


@pytest.mark.parametrize(
    ("roles", "said"), [(["viewer", "stager"], "viewer, stager"), ([], "no role")]
)
def test_me_prints_the_caller_and_its_roles(printed: Printed, roles: list[str], said: str) -> None:
    assert printed({"name": "ann", "roles": roles, "may": []}, "me") == [f"ann: {said}"]
