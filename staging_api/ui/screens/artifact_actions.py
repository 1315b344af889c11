"""Actions on a staged artifact, for all pages that show one: pin, unpin, evict.

The form names the artifact in a field ``artifact_id``, and the page to return to in ``back``.
"""

from datetime import UTC, datetime

from staging_api.errors import Invalid
from staging_api.ui.answering import is_own_page
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.screen import ActionDone, Form, ScreenAction, View

_PIN_CALL = "POST /artifacts/{artifact_id}/pin"


def _pin(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    until = _moment(form.get("until", ""))
    deps.api.stagings.artifacts.pin(form.get("artifact_id", ""), until, view.origin)
    return _back(form)


def _unpin(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    deps.api.stagings.artifacts.pin(form.get("artifact_id", ""), None, view.origin)
    return _back(form)


def _evict(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    deps.api.stagings.artifacts.evict(form.get("artifact_id", ""), view.origin)
    return _back(form)


def _moment(text: str) -> datetime:
    """Parse a day or a time in a form; times are in UTC, because forms have no zone."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid.field("until", "must be a day, such as 2027-01-31") from None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


def _back(form: Form) -> ActionDone:
    back = form.get("back", "")
    # The field comes from the browser, so it must not lead to another site.
    return ActionDone(back if is_own_page(back) else "/ui/builds")


PIN = ScreenAction(_PIN_CALL, _pin, "The artifact is pinned: it is not evicted before that day.")
UNPIN = ScreenAction(_PIN_CALL, _unpin, "The artifact is no longer pinned.")
EVICT = ScreenAction(
    "DELETE /artifacts/{artifact_id}",
    _evict,
    "The artifact is evicted: its files are no longer served, its record stays.",
)
