"""Format of times, sizes, ids and states in pages, as markup that escapes its content.

A time is always absolute: the browser shows it in its own zone, with UTC and RFC 3339 as a title.
An age is shown beside it, and ticks in the browser. Ages are excluded from a page's ETag.
"""

import hashlib
import re
from datetime import datetime
from urllib.parse import urlencode

from markupsafe import Markup

from staging_api.http.problems import rfc3339

_ID_SHOWN = 10
_DIGEST_SHOWN = 8
_TICKING = re.compile(r'(<time [^>]*data-age[^>]*>)[^<]*|<body data-now="[^"]*"')
#: Units in seconds, largest first; an age has at most two of them.
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def moment(value: datetime | None, absent: str = "none") -> Markup:
    """Format a time of day; its date and zone are in the title."""
    if value is None:
        return Markup("<span class=absent>{}</span>").format(absent)
    text = rfc3339(value.replace(microsecond=0))
    return Markup('<time datetime="{0}" title="{0}" data-local>{1} UTC</time>').format(
        text, value.strftime("%d %b %H:%M:%S")
    )


def age(value: datetime | None, now: datetime) -> Markup:
    """Format the time since or until a moment; it ticks in the browser."""
    if value is None:
        return Markup("")
    return Markup('<time datetime="{0}" title="{0}" data-age>{1}</time>').format(
        rfc3339(value), duration(int((now - value).total_seconds()))
    )


def countdown(value: datetime | None, now: datetime) -> Markup:
    """Format the time until a moment; it counts down in the browser."""
    if value is None:
        return Markup("")
    return Markup('<time datetime="{0}" title="{0}" data-age=until>{1}</time>').format(
        rfc3339(value), duration(int((value - now).total_seconds()))
    )


def duration(seconds: float | None) -> str:
    """Format a duration in its two largest units, such as ``2 h 10 min``; below a second in ms."""
    if seconds is None:
        return ""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    left, parts = max(0, int(seconds)), []
    for length, unit in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def ident(value: str | None, href: str | None = None) -> Markup:
    """Format the beginning of an id, with a button that copies all of it."""
    return _short(value, _ID_SHOWN, href)


def digest(value: str | None, href: str | None = None) -> Markup:
    """Format the beginning of a sha256, with a button that copies all of it."""
    return _short(value, _DIGEST_SHOWN, href)


def words(state: str | None) -> str:
    """Format a state as words."""
    return (state or "").replace("_", " ")


def counted(count: int | str, plural: str) -> str:
    """Format a number, or ``100+``, with a plural such as ``index_files``; singular for one."""
    name = words(plural)
    # `processes` loses two letters, `stagings` one.
    one = name.removesuffix("es") if name.endswith("sses") else name.removesuffix("s")
    return f"{count} {one if str(count) == '1' else name}"


def build_url(archive_url: str, **query: str) -> str:
    """Return the address of a build's page."""
    return "/ui/builds?" + urlencode({"u": archive_url, **query})


def last_segment(archive_url: str) -> str:
    """Return the name of a build: the last segment of its archive's URL."""
    return archive_url.partition("?")[0].rstrip("/").rpartition("/")[2] or archive_url


def etag_of(html: str) -> str:
    """Return a strong ETag of a page's content, which ignores ticking ages."""
    still = _TICKING.sub(lambda found: found[1] or "", html)
    return f'"{hashlib.sha256(still.encode()).hexdigest()[:32]}"'


def _short(value: str | None, length: int, href: str | None) -> Markup:
    if not value:
        return Markup("<span class=absent>none</span>")
    shown = Markup('<code title="{0}">{1}</code>').format(value, value[:length])
    if href:
        shown = Markup('<a href="{0}">{1}</a>').format(href, shown)
    button = Markup(
        '<button type=button class=copy data-copy="{0}" aria-label="Copy {0}"></button>'
    ).format(value)
    return Markup("<span class=ident>{0}{1}</span>").format(shown, button)
