"""``staging-api store``: show the fill level of the store, and prune it through its service."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from staging_api.cli.cures import PACKAGES_STAY
from staging_api.cli.exits import EXIT_CODES
from staging_api.cli.options import ServiceOptions, connected, of_service, verb_group
from staging_api.cli.output import print_lines, print_rows
from staging_api.sizes import size

_DAY_SECONDS = 86400.0
_PRUNE_SECONDS = 600.0

store = verb_group("Show how full the store is, or prune it.", no_args_is_help=False)


@store.callback(invoke_without_command=True, epilog=EXIT_CODES)
@of_service()
def show(service: ServiceOptions, context: typer.Context) -> None:
    """Show the fill level of the store, its uses, and its idle artifacts."""
    # Typer calls this function before `prune`, too.
    if context.invoked_subcommand is not None:
        return
    with connected(service) as client:
        found = client.store()
    print_rows(found, _lines(found), "nothing", as_json=service.as_json)


@store.command(epilog=EXIT_CODES)
@of_service()
def prune(
    service: ServiceOptions,
    *,
    idle_days: Annotated[
        float | None, typer.Option(min=0, help="Only artifacts that were not read for this time.")
    ] = None,
    keep_bytes: Annotated[int, typer.Option(min=0, help="Stop once the store has this size.")] = 0,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Reason; without it, only a preview is shown."),
    ] = None,
) -> None:
    """Evict idle artifacts, the longest unread first, at most 1,000 at once; for operators.

    Without --reason nothing is changed: the artifacts that would be evicted are listed.
    """
    idle_seconds = None if idle_days is None else idle_days * _DAY_SECONDS
    with connected(service, _PRUNE_SECONDS) as client:
        found = client.preview_prune(idle_seconds=idle_seconds, keep_bytes=keep_bytes)
        # By the preview's token, so that nothing else is evicted.
        done = None if reason is None else client.prune(found["token"], reason)
    verb, last = "would be evicted", f"would be freed: {size(found['frees_bytes'])}"
    if done is not None:
        verb = "to be evicted"
        last = f"evicted: {done['evicted']} artifacts; freed: {size(done['freed_bytes'])}"
    if not found["artifacts"]:
        last += PACKAGES_STAY
    lines = [f"{verb}: {each['name']} of {each['archive_url']}" for each in found["artifacts"]]
    print_lines(done or found, [*lines, last], as_json=service.as_json)


def _lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("used", "garbage", "reserved", "quota", "free"):
        if found[f"{name}_bytes"] is not None:
            yield name, size(found[f"{name}_bytes"])
    for each in found["usage"]:
        yield each["use"], size(each["bytes"])
    for each in found["idlest"]:
        yield f"idle since {each['idle_since'][:19]}", f"{each['name']} of {each['archive_url']}"
