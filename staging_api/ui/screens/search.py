"""Search: leads to the page of a pasted id, URL or digest, or lists all matches."""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from staging_api.errors import Invalid, NotFound, SourceNotAllowed
from staging_api.http_url import is_http_url, static_path
from staging_api.staging.lists import ArtifactFilter, StagingFilter
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.formats import build_url, last_segment
from staging_api.ui.screen import ScreenContent, View

_ULID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")
_SHA256 = re.compile("[0-9a-f]{64}")
#: Maximum number of results of each kind.
_SHOWN = 20


@dataclass(frozen=True)
class Found:
    """A search result: a word for its kind, its name, details, and its page."""

    kind: str
    name: str
    about: str
    href: str


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """Show the matches of the parameter `q`; if there is only one, redirect to its page."""
    text = view.query.get("q", "").strip()
    found, more = _cut(_found(deps, text) if text else [])
    exact = found[0].href if len(found) == 1 else None
    return ScreenContent(
        "search.html",
        f"Search: {text}" if text else "Search",
        {"text": text, "found": found, "more": more, "most": _SHOWN},
        live=False,
        goes_to=exact,
    )


def _found(deps: UiDependencies, text: str) -> Sequence[Found]:
    # Crockford's base 32 ignores case.
    if _ULID.fullmatch(text.upper()):
        return _by_id(deps, text.upper())
    if _SHA256.fullmatch(text.lower()):
        return [Found("content", text.lower(), "", f"/ui/content/{text.lower()}")]
    if "://" in text:
        return _by_url(deps, text)
    return [*_by_path(deps, text), *_by_name(deps, text), *_by_caller(deps, text)]


def _cut(found: Sequence[Found]) -> tuple[Sequence[Found], bool]:
    """Limit the results of each kind; the lists have one more, which shows that more exist."""
    seen: Counter[str] = Counter()
    shown = []
    for each in found:
        seen[each.kind] += 1
        if seen[each.kind] <= _SHOWN:
            shown.append(each)
    return shown, len(shown) < len(found)


def _by_id(deps: UiDependencies, ulid: str) -> Sequence[Found]:
    """Search for an id among stagings, artifacts, locks and publisher runs."""
    api = deps.api
    # A ULID does not tell the kind of its object.
    looks = (
        ("staging", api.stagings.find, "/ui/stagings/{0.id}"),
        ("artifact", api.stagings.artifacts.find, "/ui/artifacts/{0.id}"),
        ("lock", api.lock_service.find, "/ui/locks/{0.grant.id}"),
        ("publisher run", api.publisher.runs.find, "/ui/apt/{0.archive}"),
    )
    found = []
    for kind, find, page in looks:
        with suppress(NotFound):
            found.append(Found(kind, ulid, "", page.format(find(ulid))))
    return found


def _by_url(deps: UiDependencies, text: str) -> Sequence[Found]:
    """Interpret a URL as that of a build, or of a file on this service."""
    path = urlsplit(text).path if is_http_url(text) else ""
    if path.startswith("/static/") and (below := _by_path(deps, path)):
        return below
    try:
        url = deps.api.stagings.check_url(text).canonical
    except (Invalid, SourceNotAllowed):
        # A URL that is no longer allowed may still have an old build.
        url = text
    return [Found("build", last_segment(url), url, build_url(url))]


def _by_path(deps: UiDependencies, text: str) -> Sequence[Found]:
    path = static_path(text).strip("/")
    if "/" not in path:
        return []
    page = deps.api.stagings.artifacts.page(limit=_SHOWN + 1, only=ArtifactFilter(path=path))
    return [
        Found("artifact", each.name, f"/static/{each.path}", f"/ui/artifacts/{each.id}")
        for each in page.items
    ]


def _by_name(deps: UiDependencies, text: str) -> Sequence[Found]:
    # The index has last segments, which contain no slash.
    if "/" in text:
        return []
    urls = deps.api.stagings.named(text, limit=_SHOWN + 1)
    return [Found("build", last_segment(url), url, build_url(url)) for url in urls]


def _by_caller(deps: UiDependencies, text: str) -> Sequence[Found]:
    found = []
    for column, kind in (("caller", "requested by"), ("reference_id", "marked by")):
        only = StagingFilter(equal={column: text})
        page = deps.api.stagings.page(limit=_SHOWN + 1, only=only)
        found += [
            Found(
                f"staging {kind} {text}",
                last_segment(each.archive_url),
                f"{each.state.replace('_', ' ')}, {each.archive_url}",
                f"/ui/stagings/{quote(each.id)}",
            )
            for each in page.items
        ]
    return found
