"""Cookies within one chain of redirects: some sites set one, and redirect to the same URL.

Cookies are returned to the origin that set them, within that chain; none are kept for the next
request. Therefore Domain, Path and Expires are ignored, except that a cookie can be deleted.
"""

import re
from collections.abc import Iterable, Mapping

_MOST = 20
_MOST_CHARACTERS = 4096
#: Allowed characters of a cookie, which is sent back in one header line.
_PAIR = re.compile(r"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=([\x20-\x3a\x3c-\x7e]*)")
_DELETION = re.compile(r";\s*max-age\s*=\s*(?:0+|-\d+)\s*(?:;|$)", re.IGNORECASE)


class SourceCookies:
    """The cookies that each origin of a chain has set."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, str]] = {}

    def take(self, origin: str, lines: Iterable[str]) -> None:
        """Store the Set-Cookie lines of an origin's response; ignore cookies above the limits."""
        values = self._values.setdefault(origin, {})
        for line in lines:
            pair = _PAIR.match(line)
            if pair is None:
                continue
            name, value = pair[1], pair[2].strip()
            before = values.pop(name, None)
            if _DELETION.search(line):
                continue
            size = sum(len(each) + len(text) for each, text in values.items())
            fits = len(values) < _MOST and size + len(name) + len(value) <= _MOST_CHARACTERS
            if fits:
                values[name] = value
            elif before is not None:
                values[name] = before

    def headers(self, origin: str) -> Mapping[str, str]:
        """Return the header with an origin's own cookies; empty if there are none."""
        values = self._values.get(origin)
        if not values:
            return {}
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in values.items())}
