"""Optional parts of this package; a missing one is reported in one line, without a traceback.

The base install is the client and its verbs, on every platform. The extra ``server`` has everything
that the verbs of the service import; ``documents`` has the dependencies for documents without a
server.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from staging_api.errors import ExtraNotInstalled

_OWN = "staging_api"
#: Modules of the standard library that Windows lacks.
_UNIX_ONLY = frozenset({"fcntl", "grp", "pwd", "resource", "termios"})


@contextmanager
def needing(extra: str, verb: str) -> Iterator[None]:
    """Translate a missing module in the block into the extra that installs it.

    Args:
        extra: extra in ``setup.cfg``.
        verb: verb to name in the message.

    Raises:
        ExtraNotInstalled: a module of the extra is missing, or a module that only Unix has.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == _OWN:
            raise  # a broken installation, which the extra would not repair
        if missing in _UNIX_ONLY:
            raise ExtraNotInstalled(
                f"{verb} runs on Linux only: there is no {missing} here"
            ) from None
        raise ExtraNotInstalled(
            f"{verb} needs {missing}: run pip install 'staging_api[{extra}]'"
        ) from None
