"""The page of all error codes, made from the table: ``python -m tests.errors_page`` writes it."""

from collections.abc import Mapping
from pathlib import Path

from staging_api.error_help.answers import OF_ANSWERS, OF_HTTP, ErrorHelp
from staging_api.error_help.clients import OF_CLIENTS
from staging_api.http.resources.errors import facts
from staging_api.processes import application  # noqa: F401 - all rooms, with their errors

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "errors.md"
_HEAD = """# Errors

Every problem document has a `code`, which is stable: programs switch on it, and on `retryable`.
Its `help` leads to the place of that code: on the service itself (`/errors/CODE`, text for `curl`,
a page for browsers) or on the page that `STAGING_ERRORS_URL` names. A staging that failed has the
same codes in its `error`, and so have the errors of the client library.

This page is made from `staging_api/error_help`; a test compares.
"""


def page() -> str:
    """The page as it should be."""
    parts = [
        _HEAD,
        "## Codes of answers\n",
        *_told(OF_ANSWERS),
        "## Codes of refusals by HTTP\n",
        *_told(OF_HTTP),
        "## Codes of clients and of the command line\n",
        *_told(OF_CLIENTS),
    ]
    return "\n".join(parts)


def _told(codes: Mapping[str, ErrorHelp]) -> list[str]:
    return [
        f"### {code}\n\n{facts(code)}.\n\n- Cause: {told.cause}\n- Cure: {told.cure}\n"
        for code, told in codes.items()
    ]


if __name__ == "__main__":
    PAGE.write_text(page())
