"""Load test: many original devserver clients on one pod, many of them for the same builds."""

import random
from dataclasses import dataclass

from tests.builds import build, build_path
from tests.devserver_crowd import Caller, Prober, call, wait_for_answers
from tests.source import ArchiveSource


@dataclass
class Run:
    """Result of a run.

    Attributes:
        refused: number of refusals with a Retry-After, or of missing responses.
        wrong: responses other than those expected for the client's build.
        probes: latencies of ``/livez`` during the run.
    """

    refused: list[str]
    wrong: list[str]
    probes: Prober


def run(
    source: ArchiveSource, url: str, *, clients: int, builds: int, absent: int, wait_seconds: int
) -> Run:
    """Have `clients` request `builds` concurrently; `absent` of the builds do not exist.

    The service waits `wait_seconds` for the absent ones.
    """
    present = [source.add(build_path(), build(str(n))) for n in range(builds - absent)]
    missing = [f"{source.url}/{build_path()}" for _ in range(absent)]
    wanted = [(present + missing)[number % builds] for number in range(clients)]
    random.shuffle(wanted)
    query = f"&upload_wait_seconds={wait_seconds}"
    with Prober(url) as probes:
        callers = [call(url, archive_url, query) for archive_url in wanted]
        wait_for_answers(callers, 600)
    refused = [shown(each) for each in callers if is_refused(each)]
    wrong = [
        shown(each) for each in callers if not is_refused(each) and not is_right(each, missing)
    ]
    for archive_url in present:
        assert set(source.begun(archive_url).values()) == {1}, "something was fetched twice"
    return Run(refused, wrong, probes)


def is_refused(caller: Caller) -> bool:
    """Return whether the client has to retry, or got no response."""
    return caller.status in {0, 429, 503} or "Service Unavailable" in caller.body


def is_right(caller: Caller, missing: list[str]) -> bool:
    """Return whether the response is the expected one for the client's build."""
    if caller.archive_url in missing:
        return caller.status == 500
    return (caller.status, caller.body) == (200, "Success")


def shown(caller: Caller) -> str:
    """Format one response, for the list of wrong ones."""
    return f"{caller.archive_url}: {caller.status} {caller.body}"
