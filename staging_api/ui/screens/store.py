"""Store: its free space, its users, and a preview of pruning."""

from collections.abc import Sequence
from dataclasses import dataclass

from staging_api.errors import Invalid, NotFound
from staging_api.http.openapi import validated
from staging_api.http.store_bodies import PruneRequest
from staging_api.staging.lists import ArtifactFilter
from staging_api.staging.pruning import MOST_ARTIFACTS, Prune, Pruning
from staging_api.staging.store_report import StoreReport, store_report
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.screen import ActionDone, Form, ScreenAction, ScreenContent, View

_PINS_SHOWN = 20
_PRUNES_SHOWN = 5
_DAY_SECONDS = 86400.0
_FULL = 0.9
#: Limit of days and gigabytes in fields of forms.
_TOO_LARGE = 1e12
_PRUNE = "POST /store/prune"
_LABELS = {"read_lately": "used within a week", "unnamed": "without a name"}
_SQL = """SELECT use, blobs, bytes, file_bytes, counted_at FROM store_usage ORDER BY bytes DESC;"""


@dataclass(frozen=True)
class Part:
    """A part of the bar of space: its left edge and its width, in thousandths."""

    name: str
    label: str
    bytes: int
    left: float
    width: float


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """Show the space of the store, and the prune in the address."""
    upkeep = deps.api.stagings.upkeep
    report, pruning = store_report(upkeep), Pruning(upkeep)
    whole = report.whole_bytes or 0
    used = report.space.used + report.space.reserved
    share = used / whole if whole else 0.0
    token = view.query.get("prune") or None
    bad = bool(report.lost_contents or report.checks.lost)
    return ScreenContent(
        "store.html",
        f"Store {share:.0%} full" if whole else "Store",
        {
            "report": report,
            "whole": whole,
            "share": share,
            "parts": _parts(report, whole),
            "pins": deps.api.stagings.artifacts.page(
                limit=_PINS_SHOWN, after=view.after("pins"), only=ArtifactFilter(pinned=True)
            ),
            "prunes": pruning.page(limit=_PRUNES_SHOWN, after=view.after("prunes")),
            "prune": _found(pruning, token),
            "token": token,
            "most": MOST_ARTIFACTS,
        },
        mood="bad" if bad else "warn" if share > _FULL else "ok",
        # The list to be confirmed must not change while it is read.
        live=token is None,
        copies=Copies(
            api_path("/store"),
            cli="staging-api store",
            python="print(client.store())",
            sql=_SQL,
        ),
    )


def _preview(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    days, keep = form.get("idle_days", ""), form.get("keep_gb", "")
    given = {
        "idle_seconds": _number("idle_days", days) * _DAY_SECONDS if days else None,
        "keep_bytes": int(_number("keep_gb", keep) * 1e9) if keep else 0,
    }
    body = validated(PruneRequest, given)
    made = Pruning(deps.api.stagings.upkeep).preview(
        view.origin.caller, idle_seconds=body.idle_seconds, keep_bytes=body.keep_bytes
    )
    return ActionDone(f"/ui/store?prune={made.record.id}")


def _prune(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    given = {"token": form.get("token", ""), "reason": form.get("reason", "")}
    body = validated(PruneRequest, given)
    Pruning(deps.api.stagings.upkeep).run(given["token"], str(body.reason), view.origin)
    return ActionDone(f"/ui/store?prune={given['token']}")


PREVIEW = ScreenAction(_PRUNE, _preview, "This is a preview: nothing was evicted.")
PRUNE = ScreenAction(
    _PRUNE, _prune, "The artifacts are evicted; those used since the preview stay."
)


def _number(field: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise Invalid.field(field, "must be a number") from None
    # Infinity and NaN are floats, too, but cannot be converted to int.
    if not abs(number) < _TOO_LARGE:
        raise Invalid.field(field, f"must be a number below {_TOO_LARGE:.0f}")
    return number


def _found(pruning: Pruning, token: str | None) -> Prune | None:
    try:
        return pruning.find(token) if token else None
    except NotFound:
        return None


def _parts(report: StoreReport, whole: int) -> Sequence[Part]:
    """Return the parts of the bar, with the width of their share of the whole."""
    named: list[tuple[str, str, int]] = [
        (each.use, _LABELS.get(each.use, each.use), each.bytes) for each in report.usage
    ]
    if not named:
        named = [("used", "used", report.space.used)]
    named.append(("reserved", "reserved", report.space.reserved))
    # Reserved and used space can exceed the quota, which may be lowered at any time.
    whole = max(whole, sum(count for _, _, count in named), 1)
    parts, left = [], 0.0
    for name, label, count in named:
        width = 1000 * count / whole
        if count:
            parts.append(Part(name, label, count, round(left, 2), round(max(width, 1.0), 2)))
        left += width
    return parts
