"""Reading, rendering and checking documents beside libyaml's load of the same text, in one run.

It uses no server and no database; `benchmarks.documents.serving` measures the API's share. All
times are CPU seconds of this process, medians of rounds in which ours and libyaml take turns.
"""

import argparse
import time
from collections.abc import Callable
from itertools import count
from statistics import median
from typing import Any

import yaml

from benchmarks.documents.site import site
from staging_api.documents.model import Document
from staging_api.documents.rendering import render
from staging_api.documents.text import dump, load_documents
from staging_api.documents.validation import Checker
from tests.document_sets import document_of

_Row = tuple[str, Callable[[], Any]]


def main() -> None:
    """Measure both sets and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--copies", type=int, default=26, help="of the set, for the large one")
    given = parser.parse_args()
    _one_site(given.rounds)
    _many_collections(given.rounds, given.copies)


def _one_site(rounds: int) -> None:
    raw = site()["site-0"]
    documents = load_documents(raw)
    rendering = render(documents)
    checker = Checker()
    checker.findings(rendering)
    substitutions = sum(len(each.substitutions) for each in documents)
    print(f"{len(documents)} documents, {substitutions} substitutions, {len(raw):,} bytes")
    rows: list[_Row] = [
        ("libyaml's load (PyYAML CSafeLoader)", lambda: list(_load(raw))),
        ("read as documents, within limits", lambda: load_documents(raw)),
        ("digest every document", lambda: [each.digest for each in load_documents(raw)]),
        ("render", lambda: render(documents)),
        ("render again, nothing changed", lambda: render(documents, rendering)),
        ("check against 30 schemas", lambda: Checker().findings(rendering)),
        ("check again, nothing changed", lambda: checker.findings(rendering)),
        ("write as YAML", lambda: dump(each.value for each in rendering.documents)),
        ("POST, dryrun and commit, without database and HTTP", lambda: _three_requests(raw)),
    ]
    _measure(rows, rounds)


def _many_collections(rounds: int, copies: int) -> None:
    documents = [each for raw in site(copies).values() for each in load_documents(raw)]
    documents = [_in_collection(each, place % 100) for place, each in enumerate(documents)]
    rendering = render(documents)
    checker = Checker()
    checker.findings(rendering)
    print(f"\n{len(documents)} documents in 100 collections, one of them changed")
    source = next(place for place, each in enumerate(documents) if each.name == "secret-0-0")
    numbers = count()

    def changed() -> list[Document]:
        value = {**documents[source].value, "data": f"changed {next(numbers)}"}
        one = document_of(value, collection=documents[source].collection)
        return [*documents[:source], one, *documents[source + 1 :]]

    rows: list[_Row] = [
        ("render from scratch", lambda: render(documents)),
        ("render what the change reaches", lambda: render(changed(), rendering)),
        (
            "render and check it",
            lambda: checker.findings(render(changed(), rendering), before=rendering),
        ),
    ]
    _measure(rows, rounds)


def _three_requests(raw: bytes) -> None:
    """Simulate POST, which parses, renders and checks, and two requests that reuse its results."""
    checker = Checker()
    documents = load_documents(raw)
    rendering = render(documents)
    checker.findings(rendering)
    for _ in ("dryrun", "commit"):
        checker.findings(render(documents, rendering))


def _in_collection(document: Document, number: int) -> Document:
    made = document_of(document.value, collection=f"collection-{number}")
    # The digest is stored beside the document, as by the service.
    _ = made.digest
    return made


def _load(raw: bytes) -> Any:
    return yaml.load_all(raw, Loader=yaml.CSafeLoader)


def _measure(rows: list[_Row], rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name, _ in rows}
    for _ in range(rounds):
        for name, work in rows:
            begun = time.process_time()
            work()
            times[name].append(time.process_time() - begun)
    base = median(times[rows[0][0]])
    for name, taken in times.items():
        print(f"  {name:52} {median(taken) * 1000:8.1f} ms {median(taken) / base:6.2f} x")


if __name__ == "__main__":
    main()
