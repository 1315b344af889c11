"""Find the files of a release on GitHub or GitLab, whose pages show them only to browsers.

| archive | requested |
|---|---|
| ``https://github.com/OWNER/NAME/releases/download/TAG`` | ``https://api.github.com/repos/...`` |
| the same on a self-hosted server | ``https://HOST/api/v3/repos/...`` |
| ``https://HOST/GROUP/NAME/-/releases/TAG/downloads`` | ``https://HOST/api/v4/projects/...`` |

The allow-list must cover the requested URL, too.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from staging_api.sources.target import RequestTarget
from staging_api.sources.url import ArchiveUrl


def release_target(url: ArchiveUrl) -> RequestTarget | None:
    """Return the API address for the files of a release; None if the URL is not of a release."""
    match () if url.has_query else url.segments:
        case (owner, name, "releases", "download", tag):
            is_public = url.authority == "github.com"
            host = "api.github.com" if is_public else url.authority
            prefix = () if is_public else ("api", "v3")
            return _target(url, host, (*prefix, "repos", owner, name, "releases", "tags", tag))
        case (*project, "-", "releases", tag, "downloads") if project:
            path = ("api", "v4", "projects", "/".join(project), "releases", tag)
            return _target(url, url.authority, path)
        case _:
            return None


def release_names(raw: bytes, url: ArchiveUrl) -> list[str]:
    """Return the names of the files in the response; empty if it is something else."""
    try:
        assets = json.loads(raw)["assets"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    if isinstance(assets, list):
        return [each["name"] for each in assets if _has_text(each, "name")]
    links = assets.get("links", []) if isinstance(assets, Mapping) else []
    found = [_link_name(each["direct_asset_url"], url) for each in links if _is_direct(each)]
    return [name for name in found if name]


def _target(url: ArchiveUrl, host: str, path: tuple[str, ...]) -> RequestTarget:
    # In GitLab's API the path of a project is one segment, with its slashes escaped.
    sent = "".join("/" + quote(part, safe="") for part in path)
    return RequestTarget(ArchiveUrl(url.scheme, host, path), sent)


def _link_name(address: str, url: ArchiveUrl) -> str:
    folder = "/" + "/".join(url.segments) + "/"
    path = unquote(urlsplit(address).path)
    return path.removeprefix(folder) if path.startswith(folder) else ""


def _is_direct(link: Any) -> bool:
    return _has_text(link, "direct_asset_url")


def _has_text(entry: Any, key: str) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get(key), str)
