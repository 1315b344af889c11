"""Page of all error codes, generated from the table: ``python -m tests.errors_page`` writes it."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from staging_api.error_help.answers import OF_ANSWERS, OF_HTTP, ErrorHelp
from staging_api.error_help.clients import OF_CLIENTS
from staging_api.errors import class_of
from staging_api.http.problems import status_of_code
from staging_api.http.resources.errors import facts
from staging_api.processes import application  # noqa: F401 - all rooms, with their errors
from tests.options import refuse_options

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "errors.md"
_HEAD = """# Errors

Every problem document has a `code`, which is stable: programs switch on it, and on `retryable`.
Its `help` leads to the place of that code: on the service itself (`/errors/CODE`, text for `curl`,
a page for browsers) or on the page that `STAGING_ERRORS_URL` names. A staging that failed has the
same codes in its `error`, and so have the errors of the client library.

This page is made from `staging_api/error_help`; a test compares.

## The contract on one screen

The class of an error decides: `STATUS_OF` in `staging_api/http/problems.py` has its status, or that
of the nearest class above it, and the class itself, in `staging_api/errors.py`, says whether the
same request may succeed later. A single answer may know better: its own `retryable` counts.

| status | codes with `retryable: true` | with `retryable: false` |
|---|---|---|
"""


def page() -> str:
    """Return the expected text of the page."""
    parts = [
        _HEAD + _contract(),
        "## Codes of answers\n",
        *_told(OF_ANSWERS),
        "## Codes of refusals by HTTP\n",
        *_told(OF_HTTP),
        "## Codes of clients and of the command line\n",
        *_told(OF_CLIENTS),
    ]
    return "\n".join(parts)


def _contract() -> str:
    """Return the table of codes by status, and by whether a retry may succeed."""
    rows: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for code in (*OF_ANSWERS, *OF_HTTP):
        retryable, final = rows[str(status_of_code(code) or "other 4xx")]
        (retryable if class_of(code).retryable else final).append(f"`{code}`")
    return "".join(
        f"| {status} | {' '.join(retryable)} | {' '.join(final)} |\n"
        for status, (retryable, final) in sorted(rows.items())
    )


def _told(codes: Mapping[str, ErrorHelp]) -> list[str]:
    return [
        f"### {code}\n\n{facts(code)}.\n\n- Cause: {told.cause}\n- Cure: {told.cure}\n"
        for code, told in codes.items()
    ]


if __name__ == "__main__":
    refuse_options("tests.errors_page", __doc__)
    PAGE.write_text(page())
