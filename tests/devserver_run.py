"""A crowd of old devserver clients against one pod, many of them for the same builds."""

import random
from dataclasses import dataclass

from tests.builds import build, build_path
from tests.devserver_crowd import Caller, Prober, call, wait_for_answers
from tests.source import ArchiveSource

#: How long the clients of builds that are not there let the service wait for them.
_UPLOAD_WAIT_SECONDS = 20


@dataclass
class Run:
    """What came of it.

    Attributes:
        refused: refusals with a Retry-After, or no answer at all.
        wrong: other answers than those that a client of such a build has to get.
        probes: of ``/livez``, all the while.
    """

    refused: list[str]
    wrong: list[str]
    probes: Prober


def run(source: ArchiveSource, url: str, clients: int, builds: int, absent: int) -> Run:
    """Have `clients` ask for `builds`, of which `absent` are not there, all at once."""
    present = [source.add(build_path(), build(str(n))) for n in range(builds - absent)]
    missing = [f"{source.url}/{build_path()}" for _ in range(absent)]
    wanted = [(present + missing)[number % builds] for number in range(clients)]
    random.shuffle(wanted)
    query = f"&upload_wait_seconds={_UPLOAD_WAIT_SECONDS}"
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
    """Whether the client is to come again, or got no answer."""
    return caller.status in {0, 429, 503} or "Service Unavailable" in caller.body


def is_right(caller: Caller, missing: list[str]) -> bool:
    """Whether the answer is that of its build."""
    if caller.archive_url in missing:
        return caller.status == 500
    return (caller.status, caller.body) == (200, "Success")


def shown(caller: Caller) -> str:
    """One answer, for a list of those that are wrong."""
    return f"{caller.archive_url}: {caller.status} {caller.body}"
