"""Parser of a web server's index page of a folder: its links, or its JSON.

nginx, Apache, Caddy, Python's http.server and most others link each file relative to the page. A
link counts if it leads directly below the folder: this excludes links for sorting, to parents, and
to unrelated pages.
"""

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from staging_api.errors import ArchiveCorrupt
from staging_api.sources.lists import is_folder, text_of


@dataclass(frozen=True)
class IndexPage:
    """The entries of a page, as names relative to its folder."""

    names: list[str]
    folders: list[str]


def read_index(raw: bytes, media_type: str, page: str) -> IndexPage:
    """Parse a page; the result has no names if it is not an index page.

    Args:
        raw: the page.
        media_type: the media type that the server declares.
        page: address of the page; its path ends in a slash.

    Raises:
        ArchiveCorrupt: the page is declared to be JSON, and is not text.
    """
    if "json" in media_type:
        return _of_json(text_of(raw, "the index page"))
    links = _Links()
    links.feed(_markup(raw))
    links.close()
    return _sorted(name for link in links.found if (name := _below(link, page)))


class _Links(HTMLParser):
    """Collects the targets of links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _markup(raw: bytes) -> str:
    """Decode a page; names in another encoding than UTF-8 become names that cannot be requested."""
    try:
        return text_of(raw, "the index page")
    except ArchiveCorrupt:
        return raw.decode(errors="surrogateescape")


def _below(link: str, page: str) -> str | None:
    """Return the name directly below the page that a link leads to, or None."""
    try:
        target, base = urlsplit(urljoin(page, link.strip())), urlsplit(page)
    except ValueError:
        return None
    if (target.scheme, target.netloc) != (base.scheme, base.netloc):
        return None
    # Another query sorts the page, or selects another one.
    if target.query not in ("", base.query):
        return None
    # Compared decoded, because the two may escape different characters.
    path, folder = _decoded(target.path), _decoded(base.path)
    name = path.removeprefix(folder) if path.startswith(folder) else ""
    return name if name and "/" not in name.removesuffix("/") else None


def _decoded(path: str) -> str:
    # An escaped slash stays escaped: it is part of a name, which is then refused.
    parts = (unquote(part, errors="surrogateescape") for part in path.split("/"))
    return "/".join(part.replace("/", quote("/", safe="")) for part in parts)


def _of_json(text: str) -> IndexPage:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        return IndexPage([], [])
    return _sorted(name for each in entries if (name := _json_name(each)))


def _json_name(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return None
    name = str(entry["name"])
    return name.rstrip("/") + "/" if is_folder(entry) else name


def _sorted(names: Any) -> IndexPage:
    found = list(dict.fromkeys(names))
    return IndexPage(
        [name for name in found if not name.endswith("/")],
        [name for name in found if name.endswith("/")],
    )
