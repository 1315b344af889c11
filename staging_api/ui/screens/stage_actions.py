"""Actions on stagings, for all pages: stage, stage again, cancel."""

from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.screen import ActionDone, Form, ScreenAction, View


def stage(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    """Queue a build for a worker, or lead to the staging that already has its artifacts."""
    stagings = deps.api.stagings
    chosen = [name for name in form.get("artifacts", "").split("\n") if name]
    request = stagings.check_request(form.get("archive_url", ""), chosen)
    # Like the API: artifacts that are already staged need no lock and no worker.
    known = stagings.nothing_left(request)
    staging = known or stagings.queue(request, view.origin)
    return ActionDone(f"/ui/stagings/{staging.id}")


def stage_again(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    """Stage the artifacts that another staging requested."""
    before = deps.api.stagings.find(form.get("staging_id", ""))
    again = {"archive_url": before.archive_url, "artifacts": "\n".join(before.requested)}
    return stage(deps, view, again)


def cancel(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    """Stop a staging."""
    staging = deps.api.stagings.cancel(form.get("staging_id", ""), view.origin)
    return ActionDone(f"/ui/stagings/{staging.id}")


STAGE = ScreenAction(
    "POST /stagings", stage, "Requested. A worker begins as soon as it has a free place."
)
STAGE_AGAIN = ScreenAction("POST /stagings", stage_again, "Requested again.")
CANCEL = ScreenAction(
    "DELETE /stagings/{staging_id}",
    cancel,
    "Cancelled: staged artifacts stay, the others stop within about a second.",
)
