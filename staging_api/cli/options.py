"""Options shared by several verbs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec
from urllib.parse import urlsplit

import typer

from staging_api.cli.output import STOPPED_WAITING, exit_on_error
from staging_api.cli.pages import with_page
from staging_api.client import Pacing, StagingClient

P = ParamSpec("P")

DEFAULT_SERVER = "http://127.0.0.1:8080"

Server = Annotated[
    str,
    typer.Option(
        "--server", envvar="STAGING_SERVER", metavar="URL", help="Address of the service."
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="STAGING_TOKEN",
        metavar="TOKEN",
        help="Your bearer token; the variable hides it from the process list.",
    ),
]
DemoBind = Annotated[
    str,
    typer.Option(
        "--bind",
        envvar="STAGING_BIND",
        metavar="HOST:PORT",
        help="With --keep: address of the service.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON, and nothing else.")]
Archive = Annotated[
    str, typer.Argument(metavar="URL", help="The archive, such as gs://builds/board/R17-1.")
]
OfArchive = Annotated[
    str | None, typer.Option("--archive", metavar="URL", help="Only entries of this archive.")
]
InState = Annotated[
    str | None,
    typer.Option("--state", metavar="STATE", help="Only entries in this state, such as staged."),
]
Limit = Annotated[
    int, typer.Option(min=1, max=1000, metavar="N", help="Maximum number of entries.")
]
Prefix = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Only entries of archives whose URL has this prefix."),
]
ErrorCode = Annotated[
    str | None,
    typer.Option("--error", metavar="CODE", help="Only entries that failed with this error code."),
]
Timeout = Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="Total time.")]
Background = Annotated[
    bool, typer.Option("--background/--foreground", help="Wait for the background artifacts too.")
]
StagingId = Annotated[str, typer.Argument(metavar="ID", help="ULID of the staging.")]

_QUICK_SECONDS = 10.0
#: Timeout of a single call, for verbs whose own timeout covers everything that they wait for.
CALL_SECONDS = 60.0
#: The first `serve` creates its database before it listens: seconds on an idle machine.
_STARTING_SECONDS = 60.0
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class ServiceOptions:
    """Options that all verbs share which call the service; `timeout` is in seconds."""

    as_json: bool
    server: str
    token: str | None
    timeout: float = _QUICK_SECONDS


def named(text: str) -> str:
    """Return the name of a file or folder unchanged.

    Raises:
        typer.BadParameter: the name is empty, as from an unset variable; `Path` would take it for
            the current folder.
    """
    if not text:
        raise typer.BadParameter("it must not be empty; the current folder is .")
    return text


def named_path(text: str | Path) -> Path:
    """Return a path that is not empty, or a default unchanged; for errors see `named`."""
    return Path(named(text)) if isinstance(text, str) else text


def verb_group(text: str, *, no_args_is_help: bool = True) -> typer.Typer:
    """Return a verb with actions; only the whole command offers shell completion."""
    return typer.Typer(
        help=text,
        no_args_is_help=no_args_is_help,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def of_service(
    timeout: float | None = None, as_json: Any = AsJson
) -> Callable[[Callable[Concatenate[ServiceOptions, P], None]], Callable[..., None]]:
    """Add the options of all verbs that call the service, and pass them as the first argument.

    Args:
        timeout: default of ``--timeout``; None: no such option, for verbs that end quickly.
        as_json: whether there is an option ``--json``.
    """
    shared = {
        "timeout": (Timeout, timeout),
        "as_json": (as_json, False),
        "server": (Server, DEFAULT_SERVER),
        "token": (Token, None),
    }
    if timeout is None:
        del shared["timeout"]

    def with_options(verb: Callable[Concatenate[ServiceOptions, P], None]) -> Callable[..., None]:
        @wraps(verb)
        def called(**given: Any) -> None:
            service = ServiceOptions(**{name: given.pop(name) for name in shared})
            verb(service, **given)  # type: ignore[call-arg]

        # Typer reads the options from the signature, which is declared here once, not at each verb.
        _, *own = signature(verb).parameters.values()
        added = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (kind, default) in shared.items()
        ]
        called.__signature__ = Signature([*own, *added])  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in (*own, *added)}
        return called

    return with_options


@contextmanager
def connected(
    service: ServiceOptions,
    seconds: float | None = None,
    stopped: str = STOPPED_WAITING,
    pacing: Pacing | None = None,
) -> Iterator[StagingClient]:
    """Yield a client; an error of the block is printed, and exits.

    Args:
        service: options of the verb.
        seconds: timeout of a call; None: the verb's timeout.
        stopped: text to print at Ctrl-C.
        pacing: parameters of retries.
    """
    timeout = service.timeout if seconds is None else seconds
    client = StagingClient(service.server, token=service.token, timeout=timeout, pacing=pacing)
    with exit_on_error(service.as_json, stopped), with_page(client):
        yield client


def patient(
    service: ServiceOptions, stopped: str = STOPPED_WAITING
) -> AbstractContextManager[StagingClient]:
    """Yield a client that waits for a service of this machine to start; else like `connected`."""
    return connected(service, CALL_SECONDS, stopped, pacing_for(service.server))


def pacing_for(server: str) -> Pacing:
    """Return the retry parameters: a local service may still have to start.

    On another machine, an address that refuses connections is usually wrong.
    """
    with suppress(ValueError):  # raised for text that is no address, which the client refuses
        if urlsplit(server).hostname in _THIS_MACHINE:
            return Pacing(refused_seconds=_STARTING_SECONDS)
    return Pacing()
