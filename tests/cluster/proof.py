"""Proof: clients at work during trouble, checks afterwards, and a report."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.clients import Seen, Shift, Work
from tests.cluster.cluster import API_PODS, LEASE_SECONDS, WORKERS, cluster
from tests.cluster.findings import Findings, look
from tests.cluster.load import Load
from tests.cluster.packages import Packages
from tests.cluster.trouble import Trouble, Troubles
from tests.keys import signing_key, stop_agent


@dataclass(frozen=True)
class Proof:
    """Troubles, observations of the clients, and findings."""

    seconds: float
    troubles: list[Trouble]
    seen: Seen
    findings: Findings


def prove(seconds: float, every_seconds: float, kill_seconds: float) -> Proof:
    """Run a cluster for this long.

    Args:
        seconds: how long trouble is made; each kind occurs at least once.
        every_seconds: interval between troubles.
        kill_seconds: interval between kills of pods, in addition to the other troubles.
    """
    # A short path: the address of the agent's socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="staging-proof-", dir="/tmp") as scratch:
        key = signing_key(Path(scratch))
        signing = {"signing_home": str(key.home), "signing_key": key.fingerprint}
        try:
            with cluster(forked=True, **signing) as made:
                shift = Shift(made.url)
                load, packages = Load(made, shift, Path(scratch)), Packages(shift, Path(scratch))
                troubles = Troubles(made, every_seconds, kill_seconds)
                with shift.at_work([*load.work, *packages.work]):
                    troubles.run(seconds)
                found = look(made, shift, load, packages, key)
                return Proof(seconds, troubles.made, shift.seen, found)
        finally:
            stop_agent(key.home)


def report(proof: Proof, when: str) -> str:
    """Return the report, in Markdown."""
    kinds = sorted({trouble.what for trouble in proof.troubles})
    seen, counts = proof.seen, proof.findings.counts
    made = [[trouble for trouble in proof.troubles if trouble.what == kind] for kind in kinds]
    return _REPORT.format(
        when=when,
        minutes=f"{proof.seconds / 60:g}",
        shape=f"{API_PODS} API pods, {WORKERS} workers, leases of {LEASE_SECONDS:g} s",
        verdict="Nothing." if not proof.findings.wrong else "",
        wrong="\n".join(f"- {what}" for what in proof.findings.wrong),
        troubles=_table(
            [
                (kind, len(each), f"{max(trouble.seconds for trouble in each):.1f}")
                for kind, each in zip(kinds, made, strict=True)
            ]
        ),
        not_done="" if "the disk full" in kinds else _NO_DISK,
        calls=_table([_line(what, work) for what, work in sorted(seen.work.items())]),
        again=_table(sorted(seen.come_again.items())),
        counts=_table(list(counts.items())),
    )


def _line(what: str, work: Work) -> tuple[object, ...]:
    times = (f"{work.quantile(share):.2f}" for share in (0.5, 0.99, 1.0))
    return what, work.asked, work.told_again, len(work.seconds), *times


def _table(lines: list[tuple[object, ...]]) -> str:
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


_NO_DISK = "\nNo disk was full: only root may mount one for it.\n"
_REPORT = """\
# The cluster under trouble: a run

Made by `python -m tests.prove.test_cluster_long`, {when}: {minutes} minutes on two cores, which
did everything: {shape}, a synchronous PostgreSQL pair,
pgbouncer, haproxy, an S3 server, and the clients. `make cluster` starts the same shape for you.

Clients stage builds that others ask for too, wait for the background, download what is called
staged and compare it with the source, and list locks. Others upload packages, publish them, and
read the archives as apt does: InRelease, the index by its hash, a package. All do what the service
says: clients that get a Retry-After retry then.

## What was found wrong

{verdict}{wrong}

Looked for: an error that did not say "come again"; a call that never succeeded; a staging that was
answered and is not in the tables; a file that is served and not what the source has; a content in
the store that is not its digest; two grants of one lock at the same time; a lock without an
outcome, a staging or artifact without a final state; an object that was read without an attempt of
its own, or after it was staged; a break in the record of events; an upload that was answered and
is neither published nor rejected with a reason; a package that was acknowledged before a run, and
not listed when that had succeeded; one that is listed and was never sent so; something that
InRelease names and cannot be read by its hash; a package that is not what the index says; a run
without an end, an archive without its one live generation; a signature that is wrong.

## What was done to it

| trouble | times | longest, s |
|---|---|---|
{troubles}
{not_done}
The time of a failover is that from the death of the primary to the first answer of the service that
needed the database.

## What the clients got

| work | requests | got Retry-After | succeeded | half within, s | 99 % within, s | longest, s |
|---|---|---|---|---|---|---|
{calls}

Broken connections count as answers with Retry-After. The times include every
trouble that was met, and the waits that Retry-After named. The reasons, where the client logs them:

| code | times |
|---|---|
{again}

## What the tables say

| what | count |
|---|---|
{counts}
"""
