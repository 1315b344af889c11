"""Check HTTP URLs of other programs that settings name."""

from urllib.parse import urlsplit


def is_http_url(text: str) -> bool:
    """Whether it is an http or https URL with a host and, if any, a valid port."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
    return is_whole and text.isascii() and text.isprintable() and " " not in text
