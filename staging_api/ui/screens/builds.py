"""Builds: one row each, searchable by a prefix of the archive's URL."""

import shlex

from staging_api.ui.copies import Copies, api_path
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.screen import ScreenContent, View
from staging_api.ui.screens import build

_PAGE = 50


def show(deps: UiDependencies, view: View) -> ScreenContent:
    """Show the build in the parameter `u`; without the parameter, the list."""
    return build.show(deps, view) if view.query.get("u") else _list(deps, view)


def _list(deps: UiDependencies, view: View) -> ScreenContent:
    prefix = view.query.get("prefix", "")
    page = deps.api.stagings.archives(prefix, limit=_PAGE, after=view.query.get("after", ""))
    return ScreenContent(
        "builds.html",
        f"Builds below {prefix}" if prefix else "Builds",
        {
            "page": page,
            "prefix": prefix,
            "sources": [entry.url.canonical for entry in deps.api.stagings.allowed.entries],
        },
        copies=Copies(
            api_path("/archives", prefix=prefix, limit=_PAGE, after=view.query.get("after")),
            cli=shlex.join(["staging-api", "builds", *filter(None, [prefix])]),
            python=f"for build in client.builds({prefix!r}): print(build['archive_url'])",
            sql="SELECT archive_url, static_prefix, created_at FROM archives\n"
            "WHERE starts_with(archive_url, :prefix) ORDER BY archive_url LIMIT :limit;",
            values={"prefix": prefix, "limit": _PAGE},
        ),
    )
