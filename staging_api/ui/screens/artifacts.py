"""An artifact: its source, who vouches for it, its files; and all places of a content."""

import re
import shlex

from staging_api.errors import Invalid
from staging_api.http_url import static_url
from staging_api.paging import Page
from staging_api.staging.lists import ArtifactFilter
from staging_api.staging.model import FileOfArtifact
from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import counted, last_segment
from staging_api.ui.screen import ScreenContent, View

_FILES_SHOWN = 100
_PLACES_SHOWN = 100
_MOOD = {"failed": "bad", "pending": "busy", "staging": "busy"}
_SHA256 = re.compile(r"[0-9a-f]{64}")


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """Show an artifact, with one page of its files."""
    stagings = deps.api.stagings
    artifact = stagings.artifacts.find(view.params["artifact_id"])
    is_staged = artifact.state == "staged"
    files: Page[FileOfArtifact] = Page([], None)
    if is_staged:
        files = stagings.artifacts.files(
            artifact.id, limit=_FILES_SHOWN, after=view.query.get("after", "")
        )
    build = last_segment(artifact.archive_url)
    return ScreenContent(
        "artifact.html",
        f"{artifact.name} of {build} {artifact.state}",
        {
            "artifact": artifact,
            "build": build,
            "url": static_url(artifact.path) if is_staged else None,
            "files": [(file, static_url(file.path)) for file in files.items],
            "page": files,
            "breaks": stagings.records.breaks(artifact.staging_id),
        },
        mood=_MOOD.get(artifact.state, "ok"),
        live=not artifact.settled,
        copies=Copies(
            api_path(f"/artifacts/{artifact.id}/files"),
            cli=f"staging-api get {shlex.quote(artifact.archive_url)} {shlex.quote(artifact.name)}"
            " -o .",
            python=f'for file in client.files("{artifact.id}"): print(file.sha256, file.name)',
            sql="SELECT path, sha256, size_bytes FROM staged_files\n"
            "WHERE artifact_id = :id ORDER BY path;",
            values={"id": artifact.id},
        ),
    )


def show_content(deps: UiDependencies, view: View) -> ScreenContent:
    """Show the artifacts that have a content, under whatever name."""
    # Some programs print digests in capitals; ours are stored in lower case.
    sha256 = view.params["sha256"].lower()
    if not _SHA256.fullmatch(sha256):
        raise Invalid.field("sha256", "must be 64 hexadecimal digits")
    page = deps.api.stagings.artifacts.page(
        limit=_PLACES_SHOWN,
        after=view.query.get("after") or None,
        only=ArtifactFilter(sha256=sha256),
    )
    count = f"{len(page.items)}{'+' if page.next else ''}"
    return ScreenContent(
        "content.html",
        f"Content {sha256[:8]}: {counted(count, 'artifacts')}",
        {"sha256": sha256, "page": page, "count": count},
        live=False,
        copies=Copies(
            api_path("/artifacts", sha256=sha256),
            cli=f"staging-api artifacts --sha256 {sha256}",
            python=f'for artifact in client.artifacts(sha256="{sha256}"): print(artifact.path)',
            sql="SELECT a.archive_url, a.name, f.path FROM staged_files f\n"
            "JOIN staged_artifacts a ON a.id = f.artifact_id WHERE f.sha256 = :sha256;",
            values={"sha256": sha256},
        ),
    )
