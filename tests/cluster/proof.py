"""The proof: clients at work, trouble on top, everything looked at afterwards; and its report."""

from dataclasses import dataclass

from tests.cluster.cluster import API_PODS, LEASE_SECONDS, WORKERS, cluster
from tests.cluster.findings import Findings, look
from tests.cluster.load import Load, Seen
from tests.cluster.trouble import Trouble, Troubles


@dataclass(frozen=True)
class Proof:
    """What was done, what the clients saw and what was found."""

    seconds: float
    troubles: list[Trouble]
    seen: Seen
    findings: Findings


def prove(seconds: float, every_seconds: float) -> Proof:
    """Run a cluster for so long, with some trouble every so many seconds."""
    with cluster() as made:
        load, troubles = Load(made), Troubles(made, every_seconds)
        with load.running():
            troubles.run(seconds)
        return Proof(seconds, troubles.made, load.seen, look(made, load))


def report(proof: Proof, when: str) -> str:
    """The report, in Markdown."""
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
        calls=_table(
            [(what, n, f"{seen.slowest[what]:.1f}") for what, n in sorted(seen.done.items())]
        ),
        again=_table(sorted(seen.come_again.items())),
        counts=_table(list(counts.items())),
    )


def _table(lines: list[tuple[object, ...]]) -> str:
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


_REPORT = """\
# The cluster under trouble: a run

Made by `python -m tests.prove.test_cluster_long`, {when}: {minutes} minutes on two cores, which
did everything: {shape}, a synchronous PostgreSQL pair,
pgbouncer, haproxy, an S3 server, and the clients. `make cluster` starts the same shape for you.

Clients stage builds that others ask for too, wait for the background, download what is called
staged and compare it with the source, and list locks. They do what the service says: who is told
to come again does.

## What was found wrong

{verdict}{wrong}

Looked for: an error that did not say "come again"; a call that never succeeded; a staging that was
answered and is not in the tables; a file that is served and not what the source has; a content in
the store that is not its digest; two grants of one lock at the same time; a lock without an
outcome, a staging or artifact without a final state; an object that was read without an attempt of
its own, or after it was staged; a break in the record of events.

## What was done to it

| trouble | times | longest, s |
|---|---|---|
{troubles}

## What the clients got

| call | succeeded | slowest, s |
|---|---|---|
{calls}

The slowest include every trouble that they met, and the waits that they were told. Who asked to
stage was told to come again:

| code | times |
|---|---|
{again}

## What the tables say

| what | count |
|---|---|
{counts}
"""
