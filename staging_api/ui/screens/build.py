"""A build: its artifacts, failures with their reasons, its files, and its callers."""

import shlex
from collections.abc import Mapping, Sequence
from posixpath import commonpath
from typing import Any

from staging_api.catalogue.model import ArtifactKind
from staging_api.errors import Invalid, NotFound, SourceNotAllowed, StagingApiError
from staging_api.http_url import static_url
from staging_api.locks.model import ListedGrant, LockFilter
from staging_api.paging import Page
from staging_api.staging.lists import ArtifactFilter, StagingFilter
from staging_api.staging.model import StagedArtifact, Staging
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import build_url, last_segment
from staging_api.ui.screen import ScreenContent, View

_ARTIFACTS_SHOWN = 200
_STAGINGS_SHOWN = 10
_LOCKS_SHOWN = 10
_CHILDREN_SHOWN = 100
_MOOD = {"failed": "bad", "running": "busy", "queued": "busy", "foreground_staged": "busy"}


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """Show the build in the parameter `u`."""
    stagings, given = deps.api.stagings, view.query["u"]
    refused: StagingApiError | None = None
    try:
        url = stagings.check_url(given).canonical
    except (Invalid, SourceNotAllowed) as error:
        # Shown nevertheless: a source may leave the allow-list after its builds were staged.
        url, refused = given, error
    only = {"archive_url": url}
    first = found = _artifacts(deps, url)
    if below := view.after("artifacts"):
        found = _artifacts(deps, url, below)
    artifacts = _in_order(first.items)
    newest = stagings.page(limit=_STAGINGS_SHOWN, only=StagingFilter(equal=only))
    history, after = newest.items, view.after("stagings")
    shown = newest
    if after:
        shown = stagings.page(limit=_STAGINGS_SHOWN, after=after, only=StagingFilter(equal=only))
    name = last_segment(url)
    state = _state(artifacts, history)
    return ScreenContent(
        "build.html",
        f"{name} {state.replace('_', ' ')}",
        {
            "url": url,
            "name": name,
            "state": state,
            "refused": refused and refused.detail,
            "artifacts": _with_addresses(_in_order(found.items)),
            "page": found,
            "newest": history[0] if history else None,
            "stagings": shown,
            "groups": {} if refused else _groups(deps, url),
            "here": build_url(url),
            "folder": _folder(deps, view, artifacts),
            "locks": _locks(deps, url),
        },
        status=200 if artifacts or history or not refused else 404,
        mood=_MOOD.get(state, "ok"),
        copies=_copies(url),
    )


def _copies(url: str) -> Copies:
    return Copies(
        api_path("/artifacts", archive_url=url),
        cli=f"staging-api artifacts --archive {shlex.quote(url)}",
        python=f"for artifact in client.artifacts(archive_url={url!r}): print(artifact.name)",
        sql="SELECT name, state, path, size_bytes, sha256, staged_at FROM staged_artifacts\n"
        "WHERE archive_url = :url ORDER BY name, id;",
        values={"url": url},
    )


def _artifacts(deps: UiDependencies, url: str, after: str | None = None) -> Page[StagedArtifact]:
    """Return a page of the artifacts, each with its newest row; the newest rows come first."""
    only = ArtifactFilter(equal={"archive_url": url}, newest=True)
    return deps.api.stagings.artifacts.page(limit=_ARTIFACTS_SHOWN, after=after, only=only)


def _in_order(artifacts: Sequence[StagedArtifact]) -> list[StagedArtifact]:
    return sorted(artifacts, key=lambda a: (a.phase != "foreground", a.name, a.path))


def _with_addresses(
    artifacts: Sequence[StagedArtifact],
) -> list[tuple[StagedArtifact, str | None]]:
    """Return each artifact with the address where it is served."""
    return [(each, static_url(each.path) if each.state == "staged" else None) for each in artifacts]


def _state(artifacts: Sequence[StagedArtifact], history: Sequence[Staging]) -> str:
    """Return one word for the build: the state of its newest staging, or of its artifacts."""
    if history and not history[0].final:
        return history[0].state
    states = {artifact.state for artifact in artifacts}
    if "failed" in states:
        return "failed"
    if "staged" in states:
        return "staged"
    # If all of its artifacts are missing from the archive, none is evicted.
    if "evicted" in states:
        return "evicted"
    return history[0].state if history else "not staged"


def _groups(deps: UiDependencies, url: str) -> Mapping[str, Sequence[tuple[ArtifactKind, bool]]]:
    """Return the entries of the catalogue by group, each with whether it is in the default."""
    catalogue = deps.api.stagings.catalogues.of(deps.api.stagings.check_url(url))
    default = {kind.name for kind in catalogue.resolve(())}
    groups: dict[str, list[tuple[ArtifactKind, bool]]] = {}
    for kind in catalogue.kinds:
        groups.setdefault(kind.group, []).append((kind, kind.name in default))
    return groups


def _folder(
    deps: UiDependencies, view: View, artifacts: Sequence[StagedArtifact]
) -> Mapping[str, Any] | None:
    """Return one page of the files in a folder of the build; None: nothing is staged."""
    staged = [artifact for artifact in artifacts if artifact.state == "staged"]
    if not staged:
        return None
    root = _common_folder([artifact.path for artifact in staged])
    below = view.query.get("in", "")
    try:
        page = deps.api.files.children(
            root + below, limit=_CHILDREN_SHOWN, after=view.query.get("from", "")
        )
    except NotFound:
        # The folder may have been evicted since: the rest of the page is still valid.
        return None
    steps = [part for part in below.split("/") if part]
    crumbs = [
        (part, view.here(**{"in": "/".join(steps[: number + 1]) + "/", "from": None}))
        for number, part in enumerate(steps)
    ]
    entries = [
        (
            child,
            view.here(**{"in": below + child.name, "from": None})
            if child.name.endswith("/")
            else static_url(root + below + child.name),
        )
        for child in page.items
    ]
    return {
        "entries": entries,
        "crumbs": crumbs,
        "top": view.here(**{"in": None, "from": None}),
        "next": view.here(**{"from": page.next}) if page.next else None,
    }


def _common_folder(paths: Sequence[str]) -> str:
    """Return the longest folder that contains all paths, with its slash."""
    common = commonpath([path.rpartition("/")[0] for path in paths])
    return f"{common}/" if common else ""


def _locks(deps: UiDependencies, url: str) -> Sequence[ListedGrant]:
    return deps.api.lock_service.newest(limit=_LOCKS_SHOWN, only=LockFilter(scope=url)).items
