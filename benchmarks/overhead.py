"""Cost of identity, metrics and logs on the lightest request, one by one, in one process.

    python -m benchmarks.overhead [--rounds 9]

The request is a GET of a resource that answers 204 without any query: only Falcon's work and ours
around it remain. It is called through WSGI without a server, because a socket costs ten times as
much and would hide the differences. Log lines are JSON and go to /dev/null; metrics are in files of
several processes, as under gunicorn; the token is one of a hundred in the file.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

import falcon
from falcon.testing import StartResponseMock, create_environ

from benchmarks.lock.measure import Figure, p50_ms
from staging_api import logs, metrics
from staging_api.http.auth import Authentication
from staging_api.http.limits import CallerLimits, Refusals, RequestLimits
from staging_api.http.middleware import RequestContext
from staging_api.http.permissions import Permissions
from staging_api.http.routes import ALLOWED
from staging_api.identity.authenticators import anonymous, authenticator
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from staging_api.settings import Settings

# A route in the table of roles, so that a credential is demanded.
PATH = "/api/v1.0/locks"
_OTHER_TOKENS = 99


class Nothing:
    """The lightest resource."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 204."""
        resp.status = falcon.HTTP_204


def served(middleware: Sequence[Any], **headers: str) -> Callable[[], object]:
    """Return a call that sends one request to an application with this middleware."""
    app: falcon.App[Any, Any] = falcon.App(middleware=list(middleware))
    app.add_route(PATH, Nothing())
    environ = create_environ(PATH, headers=headers)

    def call() -> object:
        answer = StartResponseMock()
        body = app(dict(environ), answer)
        assert answer.status == "204 No Content"
        return body

    return call


def contestants(folder: Path) -> dict[str, Callable[[], object]]:
    """Return the calls: the request as served, with parts of the middleware left out, and bare."""
    tokens = folder / "tokens.yaml"
    for number in range(_OTHER_TOKENS):
        add_to_file(tokens, make_token(f"other-{number}", [Role.VIEWER], None)[1])
    token, lines = make_token("ci", [Role.VIEWER], None)
    add_to_file(tokens, lines)
    nobody = Settings.from_env(home=folder)
    known = Settings.from_env(home=folder, auth="tokens", tokens_file=tokens)
    bearer = {"Authorization": f"Bearer {token}"}
    none = RequestLimits(body_bytes=4 << 20, upload_bytes=4 << 20)
    limits = CallerLimits(none)

    def of(settings: Settings) -> list[Any]:
        refusals = Refusals(none)
        who = Authentication(
            Permissions(ALLOWED), authenticator(settings), anonymous(settings), refusals
        )
        return [RequestContext(), who, limits]

    whole = served(of(known), **bearer)
    return {
        "bare": served([]),
        "whole": whole,
        "without a credential": served(of(nobody), **bearer),
        "without a log line": partial(_quietly, whole),
        "counting alone": _count,
    }


def _quietly(call: Callable[[], object]) -> object:
    access = logging.getLogger("staging_api.access")
    access.disabled = True
    try:
        return call()
    finally:
        access.disabled = False


def _count() -> None:
    """Update the metrics that the middleware counts per request."""
    metrics.REQUESTS_RUNNING.inc()
    metrics.REQUESTS_RUNNING.dec()
    metrics.REQUESTS.labels("GET", PATH, "204").inc()
    metrics.REQUEST_SECONDS.labels("GET", PATH).observe(0.001)


def measure(folder: Path, rounds: int) -> None:
    """Measure all in turns, and print the table."""
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        logs.configure("json")
        calls = contestants(folder)
        p50 = p50_ms(calls, rounds, seconds=0.2)
    whole, bare = p50["whole"], p50["bare"]
    counting = p50["counting alone"]
    print("| | ratio: median (lowest to highest round) |")
    print("|---|---|")
    print(f"| the request beside a bare Falcon one | {whole.beside(bare)} |")
    for name in ("without a credential", "without a log line"):
        print(f"| {name}, beside the whole | {p50[name].beside(whole)} |")
    left = Figure(tuple(1 - c / w for c, w in zip(counting.rounds, whole.rounds, strict=True)))
    print(f"| without metrics, beside the whole | {left} |")


def main() -> None:
    """Measure in a process that was started with a metrics folder, like those of the service."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        measure(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), rounds)
        return
    with tempfile.TemporaryDirectory(prefix="overhead-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.overhead", "--rounds", str(rounds)]
        subprocess.run(command, env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder}, check=True)


if __name__ == "__main__":
    main()
