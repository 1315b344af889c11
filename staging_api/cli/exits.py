"""Exit codes that scripts can rely on."""

from collections.abc import Mapping

from staging_api.errors import (
    AddressTaken,
    Cancelled,
    CatalogueInvalid,
    Conflict,
    DatabaseUnusable,
    DeadlineOver,
    ExtraNotInstalled,
    Forbidden,
    Invalid,
    MigrationRefused,
    NotFound,
    StagingApiError,
    Unauthenticated,
    Unavailable,
)

# The parser of the command line uses 2.
FAILED, CONFLICT, REFUSED, NOT_FOUND, UNREACHABLE, TIME_OVER = 1, 3, 4, 5, 6, 7
NOT_INSTALLED, TAKEN = 8, 9
#: A shell's exit code for a program ended by SIGINT.
INTERRUPTED = 130

#: The nearest listed ancestor of an error's class decides.
_CODES: Mapping[type[StagingApiError], int] = {
    Cancelled: FAILED,
    Conflict: CONFLICT,
    Invalid: REFUSED,
    CatalogueInvalid: REFUSED,
    MigrationRefused: REFUSED,
    DatabaseUnusable: REFUSED,
    Unauthenticated: REFUSED,
    Forbidden: REFUSED,
    NotFound: NOT_FOUND,
    ExtraNotInstalled: NOT_INSTALLED,
    Unavailable: UNREACHABLE,
    DeadlineOver: TIME_OVER,
    AddressTaken: TAKEN,
    StagingApiError: FAILED,
}

# The first line makes typer keep the line breaks.
EXIT_CODES = """\b
Exit codes:
  0    done
  1    failed: the source, an artifact, the service; or cancelled
  2    the command line is wrong
  3    in conflict: a lock held until the deadline, or the present state
  4    refused: bad input, no credential, not allowed, invalid settings
  5    not found: the staging, the archive, an artifact of it
  6    the service is unreachable or unavailable
  7    not done in time; the service continues
  8    the verb needs an extra of the package that is not installed
  9    another program listens at the address
  130  interrupted; the service continues
"""


def exit_code(error: StagingApiError) -> int:
    """Return the exit code of an error."""
    return next(_CODES[cls] for cls in type(error).__mro__ if cls in _CODES)
