"""Process that has imported what tests import, and forks for each run; started by ``python -m``.

Each line of its input is an order, a JSON object: `arguments` of pytest, `environment` to add,
`output`, a file to write to, and `seconds`, a limit. It answers each with a line: the exit code of
pytest, or null if the limit ended it. The project itself is imported only after the fork, so that a
run uses the current mutant. If the process dies, a run ends by the limits of its single tests.
"""

import gc
import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

#: Modules that most tests import, and that take long.
IMPORTED = (
    *("_pytest.python", "_pytest.doctest", "_pytest.junitxml", "_pytest.skipping"),
    *("alembic.command", "alembic.config", "cryptography.x509", "falcon", "falcon.testing"),
    *("hypothesis", "hypothesis.strategies", "hypothesis.stateful", "jinja2", "jsonschema"),
    *("prometheus_client", "psycopg2.extras", "regex", "requests", "sqlalchemy", "trustme"),
    *("sqlalchemy.dialects.postgresql.psycopg2", "unittest.mock", "yaml", "gunicorn.app.base"),
)
_POLL_SECONDS = 0.02


def main(imported: list[str]) -> None:
    """Import these modules; then execute orders until the input ends."""
    for name in imported:
        with suppress(ImportError):
            import_module(name)
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(order)
        print(json.dumps(_waited(child, order["seconds"])), flush=True)


def _run(order: dict[str, Any]) -> None:
    status = 3
    try:
        os.setsid()
        with Path(order["output"]).open("w") as output, Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.environ.update(order["environment"])
        random.seed()
        status = int(pytest.main(order["arguments"]))
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


def _waited(child: int, seconds: float) -> int | None:
    until = time.monotonic() + seconds
    status: int | None = None
    while time.monotonic() < until:
        pid, ended = os.waitpid(child, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(ended)
            break
        time.sleep(_POLL_SECONDS)
    _end(child, gone=status is not None)
    return status


def _end(child: int, *, gone: bool) -> None:
    # Exactly its process group: including the processes that it started and left behind.
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not gone:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
