"""Check HTTP URLs of other programs in settings, and build URLs of served files."""

from urllib.parse import quote, unquote, urlsplit

_STATIC = "/static/"


def is_http_url(text: str) -> bool:
    """Return whether it is an http or https URL with a host and, if present, a valid port."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
    return is_whole and text.isascii() and text.isprintable() and " " not in text


def static_url(path: str) -> str:
    """Return the URL of a path below ``/static``, on this service: each segment percent-encoded."""
    return _STATIC + quote(path)


def static_path(path_or_url: str) -> str:
    """Return the path below ``/static``, given as a path or as a URL from `static_url`."""
    below = path_or_url.removeprefix(_STATIC)
    return path_or_url if below == path_or_url else unquote(below)
