"""Response headers of pages, and the origin check and parser of forms.

A page is for its reader only, runs only our own script and style sheet, and loads nothing from
other hosts. A form must be sent by a page of this service: browsers declare that in
``Sec-Fetch-Site``, older ones in ``Origin``; a request with neither header is refused. Therefore
forms need no CSRF token, and another site cannot use a reader's cookie.
"""

from urllib.parse import parse_qsl, urlsplit

import falcon

from staging_api.errors import Forbidden, Invalid, LimitExceeded
from staging_api.http.media import media_type
from staging_api.ui.screen import Form

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_FORM = "application/x-www-form-urlencoded"
#: The longest field is the text of a catalogue to try.
_MOST_BYTES = 256 << 10
_MOST_FIELDS = 1100


def send_page(resp: falcon.Response, html: str, status: int = 200) -> None:
    """Set a page as the response."""
    resp.status = falcon.util.code_to_http_status(status)
    resp.content_type = falcon.MEDIA_HTML
    resp.text = html
    resp.data = resp.media = resp.stream = None
    resp.set_headers(_HEADERS)


def go_to(resp: falcon.Response, location: str) -> None:
    """Redirect the browser to another page of this service, by GET."""
    resp.status = falcon.HTTP_303
    resp.location = location
    resp.set_headers(_HEADERS)


def is_own_page(location: str) -> bool:
    """Return whether an address leads to a page of this service, however a browser reads it.

    Staged files count: they cannot run scripts here, and a sign-in can begin at one.
    """
    path = location.partition("?")[0]
    is_known = path == "/" or path.startswith(("/ui/", "/static/"))
    return is_known and ".." not in path and not set(location) & set("\\\r\n\t ")


def check_same_origin(req: falcon.Request) -> None:
    """Check that a form was sent by a page of this service.

    Raises:
        Forbidden: another site sent the form, or the sender is unknown.
    """
    site = req.get_header("Sec-Fetch-Site")
    if site is not None:
        if site.strip().lower() != "same-origin":
            raise Forbidden("only a page of this service may do this")
        return
    origin = req.get_header("Origin")
    if origin is None or not _is_ours(origin, req):
        raise Forbidden(
            "only a page of this service may do this; programs use the API, see /openapi.json"
        )


def form_of(req: falcon.Request) -> Form:
    """Parse the fields of a form; values of a repeated field are joined by line breaks.

    Raises:
        Invalid: the body is not a form, or not UTF-8.
        LimitExceeded: the body is longer than any form of this service.
    """
    if media_type(req) != _FORM:
        raise Invalid.field("Content-Type", f"must be {_FORM}")
    if (req.content_length or 0) > _MOST_BYTES:
        raise LimitExceeded(f"a form may have at most {_MOST_BYTES} bytes")
    try:
        text = req.bounded_stream.read(_MOST_BYTES).decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise Invalid.field("body", "is no form that this service sends") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        # PostgreSQL cannot store NUL in a text, and the middleware checks only the query.
        if "\0" in value:
            raise Invalid.field(name.replace("\0", ""), "must not contain a NUL character")
        # Browsers send line ends in text areas as CRLF.
        plain = value.replace("\r\n", "\n").strip()
        fields[name] = f"{fields[name]}\n{plain}" if name in fields else plain
    return fields


def _is_ours(origin: str, req: falcon.Request) -> bool:
    try:
        parts = urlsplit(origin.strip())
    except ValueError:
        return False
    default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    host = (req.get_header("Host") or "").strip().lower()
    # Behind a proxy that ends TLS the scheme is http here: only the host is compared.
    return bool(host) and parts.netloc.lower().removesuffix(default) == host.removesuffix(default)
