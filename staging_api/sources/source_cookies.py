"""Cookies of one chain of redirects: some sites set one, and redirect to the same URL with it.

They go back to the origin that set them, within that chain; nothing is kept for the next request.
So Domain, Path and the time of expiry have no meaning here, but for a cookie that is taken back.
"""

import re
from collections.abc import Iterable, Mapping

_MOST = 20
_MOST_CHARACTERS = 4096
#: What a value may be, it is sent back in one line of a head.
_PAIR = re.compile(r"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=([\x20-\x3a\x3c-\x7e]*)")
_TAKEN_BACK = re.compile(r";\s*max-age\s*=\s*(?:0+|-\d+)\s*(?:;|$)", re.IGNORECASE)


class SourceCookies:
    """What each origin of a chain has set so far."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, str]] = {}

    def take(self, origin: str, lines: Iterable[str]) -> None:
        """Note the Set-Cookie lines of an answer of an origin; what is too much is passed over."""
        values = self._values.setdefault(origin, {})
        for line in lines:
            pair = _PAIR.match(line)
            if pair is None:
                continue
            name, value = pair[1], pair[2].strip()
            before = values.pop(name, None)
            if _TAKEN_BACK.search(line):
                continue
            size = sum(len(each) + len(text) for each, text in values.items())
            fits = len(values) < _MOST and size + len(name) + len(value) <= _MOST_CHARACTERS
            if fits:
                values[name] = value
            elif before is not None:
                values[name] = before

    def headers(self, origin: str) -> Mapping[str, str]:
        """Return the header that sends an origin its own cookies back; none if it has none."""
        values = self._values.get(origin)
        if not values:
            return {}
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in values.items())}
