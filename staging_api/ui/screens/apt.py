"""APT archives: what clients see, uploads and changes that are waiting, and rollbacks."""

from functools import partial

from staging_api.errors import NotFound
from staging_api.http.archive_bodies import Decision
from staging_api.http.openapi import validated
from staging_api.publishing.model import AptArchive, Distribution, Upload
from staging_api.publishing.run_model import Options
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import counted
from staging_api.ui.screen import ActionDone, Form, ScreenAction, ScreenContent, View
from staging_api.vocabulary.publishing import OPEN_UPLOAD_STATES

_SHOWN = 20
#: Maximum number of waiting uploads of each state; all are shown, however many came after them.
_WAITING_SHOWN = 100
_PUBLICATIONS_SHOWN = 100


def show_all(deps: UiDependencies, _view: View) -> ScreenContent:
    """List the archives with their distributions."""
    live = {each.archive: each for each in deps.api.publisher.distributions.all()}
    archives = deps.api.archives.all()
    return ScreenContent(
        "apt_archives.html",
        counted(len(archives), "APT archives"),
        {"archives": [(archive, live.get(archive.name)) for archive in archives]},
        copies=Copies(
            api_path("/distributions"),
            sql="SELECT name, origin, label, created_at FROM apt_archives ORDER BY name;",
        ),
    )


def show_one(deps: UiDependencies, view: View) -> ScreenContent:
    """Show an archive."""
    publisher, name = deps.api.publisher, view.params["archive"]
    archive = deps.api.archives.find(name)
    running = next(iter(publisher.runs.page(limit=1, archive=name, state="running").items), None)
    waiting, waiting_count = _waiting(deps, name)
    after = view.after("uploads")
    newest = deps.api.uploads.page(name, limit=_SHOWN, after=after, state=None)
    # An upload decided between the two queries is in both. Waiting ones are on the first page.
    uploads = {each.id: each for each in (*(() if after else waiting), *newest.items)}
    distribution = _distribution(deps, name)
    return ScreenContent(
        "apt_archive.html",
        f"{name}: {_said(archive, distribution)}",
        {
            "archive": archive,
            "distribution": distribution,
            "seen": _said(archive, distribution),
            "signers": publisher.distributions.signers(name),
            "held": {each.suite: each for each in distribution.held} if distribution else {},
            "running": running,
            "runs": publisher.runs.page(limit=_SHOWN, archive=name, after=view.after("runs")),
            "uploads": list(uploads.values()),
            "decided": newest,
            "waiting": waiting_count,
            "generations": publisher.distributions.generations(
                name, limit=_SHOWN, after=view.after("generations")
            ),
        },
        mood="busy" if running else "ok",
        copies=Copies(
            # Before the first run there is no distribution, so its address would be a 404.
            api_path(f"/{'distributions' if distribution else 'apt-archives'}/{name}"),
            cli=f"staging-api publish publish-ftpmaster {name}",
            sql="SELECT p.* FROM package_publications p JOIN suites s ON s.id = p.suite_id\n"
            "JOIN apt_archives a ON a.id = s.archive_id\n"
            "WHERE a.name = :name ORDER BY p.id DESC LIMIT :limit;",
            values={"name": name, "limit": _PUBLICATIONS_SHOWN},
        ),
    )


def show_run(deps: UiDependencies, view: View) -> ScreenContent:
    """Show a publisher run, with the durations of its phases and the output of its hooks."""
    run = deps.api.publisher.runs.find(view.params["publication_id"])
    name = run.purpose or run.operation
    is_running = run.state == "running"
    return ScreenContent(
        "publication.html",
        f"{name} of {run.archive} {run.state.replace('_', ' ')}",
        {"run": run, "name": name, "took": (run.finished_at or view.now) - run.started_at},
        mood="busy" if is_running else "ok" if run.state == "succeeded" else "bad",
        live=is_running,
        copies=Copies(
            api_path(f"/publications/{run.id}"),
            sql="SELECT * FROM publisher_runs WHERE id = :id;",
            values={"id": run.id},
        ),
    )


def _waiting(deps: UiDependencies, name: str) -> tuple[list[Upload], str]:
    """Return the uploads that wait for a decision, newest first, and their number."""
    pages = [
        deps.api.uploads.page(name, limit=_WAITING_SHOWN, after=None, state=state)
        for state in OPEN_UPLOAD_STATES
    ]
    found = sorted((u for page in pages for u in page.items), key=lambda u: u.id, reverse=True)
    return found, f"{len(found)}{'+' if any(page.next for page in pages) else ''}"


def _distribution(deps: UiDependencies, name: str) -> Distribution | None:
    try:
        return deps.api.publisher.distributions.find(name)
    except NotFound:
        return None


def _said(archive: AptArchive, distribution: Distribution | None) -> str:
    """Return one line about what clients see."""
    if distribution is None:
        return "not published yet"
    parts = [f"generation {distribution.live.number} is live"]
    if distribution.held:
        parts.append(f"{counted(len(distribution.held), 'suites')} held")
    if any(suite.dirty_since for suite in archive.suites):
        parts.append("changes wait to be published")
    return ", ".join(parts)


def _publish(deps: UiDependencies, view: View, _form: Form) -> ActionDone:
    publisher = deps.api.publisher
    archive = publisher.apt_archive(view.params["archive"])
    publisher.run("publish-ftpmaster", archive, Options(), view.origin)
    return ActionDone(view.path)


def _go_back(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    reason = validated(Decision, {"reason": form.get("reason", "")}).reason
    deps.api.publisher.go_back(
        view.params["archive"], form.get("generation_id") or None, view.origin, reason=reason
    )
    return ActionDone(view.path)


def _lift(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    suite, caller = form.get("suite", ""), view.origin.caller
    deps.api.publisher.lift_suite(view.params["archive"], suite, caller)
    return ActionDone(view.path)


def _set_pin(deps: UiDependencies, view: View, form: Form, *, pinned: bool) -> ActionDone:
    deps.api.publisher.distributions.set_pin(
        form.get("generation_id", ""), view.origin.caller, pinned=pinned
    )
    return ActionDone(view.path)


def _accept(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    deps.api.uploads.accept(form.get("upload_id", ""), view.origin.caller)
    return ActionDone(view.path)


def _reject(deps: UiDependencies, view: View, form: Form) -> ActionDone:
    reason = validated(Decision, {"reason": form.get("reason", "")}).reason
    deps.api.uploads.reject(form.get("upload_id", ""), view.origin.caller, reason)
    return ActionDone(view.path)


_CALL_PIN = "/generations/{generation_id}/pin"
#: Actions by the value of the form's field ``action``; names are unique among all screens.
ACTIONS: dict[str, ScreenAction] = {
    "publish": ScreenAction("POST /publications", _publish, "The archive is published."),
    "go_back": ScreenAction(
        "PATCH /distributions/{archive}",
        _go_back,
        "Clients see the packages of that generation, until the holds are lifted.",
    ),
    "lift": ScreenAction(
        "DELETE /distributions/{archive}/holds/{suite}",
        _lift,
        "The hold is lifted: the next run shows the published packages again.",
    ),
    "pin_generation": ScreenAction(
        f"PUT {_CALL_PIN}", partial(_set_pin, pinned=True), "The generation is kept."
    ),
    "unpin_generation": ScreenAction(
        f"DELETE {_CALL_PIN}", partial(_set_pin, pinned=False), "The generation is no longer kept."
    ),
    "accept": ScreenAction(
        "POST /uploads/{upload_id}/accept", _accept, "Accepted: the next run publishes it."
    ),
    "reject": ScreenAction("POST /uploads/{upload_id}/reject", _reject, "Rejected."),
}
