"""``/errors``: meaning and remedy of each error code, for readers who follow `help`."""

from html import escape
from http import HTTPStatus

import falcon

from staging_api.error_help import ERROR_HELP
from staging_api.error_help.answers import OF_ANSWERS, OF_HTTP
from staging_api.error_help.clients import OF_CLIENTS
from staging_api.errors import NotFound, class_of
from staging_api.http.problems import status_of_code

_HTML, _TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
# No style sheet: this page exists without the dashboard, too.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<main>
{body}</main>
</html>
"""


class Errors:
    """All error codes."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the error codes of responses, of HTTP, and of clients."""
        if req.client_prefers(["text/plain", "text/html"]) != "text/html":
            _send_text(resp, "\n\n".join(map(_as_text, ERROR_HELP)))
            return
        named = {
            "Codes of answers": OF_ANSWERS,
            "Codes of refusals by HTTP": OF_HTTP,
            "Codes of clients and of the command line": OF_CLIENTS,
        }
        body = "".join(
            f"<h1>{title}</h1>\n" + "".join(map(_as_html, codes)) for title, codes in named.items()
        )
        _send_page(resp, "Error codes", body)


class OneError:
    """One error code."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, code: str) -> None:
        """Show the cause and remedy of an error code.

        Raises:
            NotFound: no error has this code.
        """
        if code not in ERROR_HELP:
            raise NotFound(f"no error has the code {code}: /errors lists all")
        if req.client_prefers(["text/plain", "text/html"]) == "text/html":
            _send_page(resp, code, _as_html(code) + '<p><a href="../errors">All codes</a></p>\n')
        else:
            _send_text(resp, _as_text(code))


def facts(code: str) -> str:
    """Return title, status and whether a retry can help, as one line."""
    kind, status = class_of(code), status_of_code(code)
    title = kind.title if kind.code == code else HTTPStatus(status or 400).phrase
    shown = "no answer has it" if code in OF_CLIENTS else f"status {status or '4xx'}"
    return f"{title}; {shown}" + ("; may be sent again" if kind.retryable else "")


def _as_text(code: str) -> str:
    help_ = ERROR_HELP[code]
    return f"{code}: {facts(code)}\n  cause: {help_.cause}\n  cure: {help_.cure}"


def _as_html(code: str) -> str:
    help_ = ERROR_HELP[code]
    return (
        f'<h2 id="{code}">{code}</h2>\n<p>{escape(facts(code))}</p>\n'
        f"<dl><dt>Cause</dt><dd>{escape(help_.cause)}</dd>\n"
        f"<dt>Cure</dt><dd>{escape(help_.cure)}</dd></dl>\n"
    )


def _send_page(resp: falcon.Response, title: str, body: str) -> None:
    resp.content_type = _HTML
    resp.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    resp.text = _PAGE.format(title=escape(title), body=body)


def _send_text(resp: falcon.Response, text: str) -> None:
    resp.content_type = _TEXT
    resp.text = f"{text}\n"
