"""Cost of the document API: the documents of one site, and 10,000 documents in 100 collections.

Each figure is shown beside libyaml's load of the same text in the same run, so that a busy machine
slows both. CPU time is that of this process, which is the API; the response time includes
PostgreSQL's work. Run with ``python -m benchmarks.documents.serving [--rounds 5]``; it starts
a PostgreSQL.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from falcon.testing import TestClient

from benchmarks.documents.site import documents, stream
from staging_api.db.embedded import running
from staging_api.db.migrate import migrate
from staging_api.processes.application import api_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings

_COLLECTIONS = 100
_DOCUMENTS = 100
_API = "/api/v1.0"
_POLICY = """---
schema: deckhand/LayeringPolicy/v1
metadata: {schema: metadata/Control/v1, name: layers}
data: {layerOrder: [site]}
"""


def collection(number: int, value: int = 0) -> str:
    """Return the text of a collection; `value` changes one of its documents."""
    made = [_document(number, place, value if place == 0 else 0) for place in range(_DOCUMENTS)]
    return "".join([_POLICY] * (number == 0) + made)


def main() -> None:
    """Measure, and print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for measure in (_one_site, _many_collections):
        with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
            migrate(server.url)
            settings = Settings.from_env(database_url=server.url, store=f"file://{folder}/store")
            services = build(settings)
            try:
                measure(TestClient(api_of(services)), rounds)
            finally:
                services.close()


def _one_site(client: TestClient, rounds: int) -> None:
    """Send three requests about a set that is new to the service, round by round."""
    table = _Table()
    # The first request of a process also opens connections and compiles statements.
    _post(client, 0, "".join([_POLICY, _document(0, 0, 0)]))
    for number in range(rounds):
        raw = stream(_renamed(documents(), number))
        with table.row(f"libyaml loads {len(raw):,} bytes"):
            list(yaml.load_all(raw, Loader=yaml.CSafeLoader))
        with table.row("POST, dry run and commit of 423 documents"):
            _post(client, 0, raw, "replace")
            _commit(client, "dryrun=true")
            _commit(client)
    table.show()


def _many_collections(client: TestClient, rounds: int) -> None:
    table = _Table()
    texts = [collection(number) for number in range(_COLLECTIONS)]
    whole = "".join(texts)
    with table.row("libyaml loads 10,000 documents"):
        list(yaml.load_all(whole, Loader=yaml.CSafeLoader))
    for number, text in enumerate(texts):
        with table.row("post of one of 100 collections"):
            _post(client, number, text)
    with table.row("commit of all"):
        _commit(client)
    for value in range(1, rounds + 1):
        text = collection(7, value)
        with table.row("one changed document: post and commit"):
            _post(client, 7, text)
            _commit(client)
        with table.row("status compare"):
            _get(client, "/configdocs")
        with table.row("raw get"):
            _get(client, "/configdocs/c7", "version=committed")
    table.show()


def _renamed(values: Iterator[dict[str, Any]], number: int) -> Iterator[dict[str, Any]]:
    """Change every document of a set, so that no rendered result is cached."""
    for value in values:
        value["metadata"].setdefault("labels", {})["round"] = str(number)
        yield value


class _Table:
    """Rows of a table, in the order of their first measurement."""

    def __init__(self) -> None:
        self._taken: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def row(self, name: str) -> Iterator[None]:
        """Record the CPU and wall time of the block."""
        began, cpu = time.perf_counter(), time.process_time()
        yield
        taken = time.process_time() - cpu, time.perf_counter() - began
        self._taken.setdefault(name, []).append(taken)

    def show(self) -> None:
        """Print medians, and their ratios to the first row."""
        base = 0.0
        for name, taken in self._taken.items():
            cpu, wall = (statistics.median(each) for each in zip(*taken, strict=True))
            base = base or cpu
            print(
                f"{name:42} {1000 * cpu:9.1f} ms CPU {cpu / base:7.3f} x libyaml"
                f" {1000 * wall:9.1f} ms until the answer"
            )


def _document(number: int, place: int, value: int) -> str:
    return f"""---
schema: site/Thing/v1
metadata:
  schema: metadata/Document/v1
  name: thing-{number}-{place}
  storagePolicy: cleartext
  layeringDefinition: {{layer: site}}
data:
  value: {value}
  hosts: [a{place}.example, b{place}.example]
  text: |
    number {number}
    place {place}
"""


def _post(client: TestClient, number: int, text: str | bytes, mode: str = "append") -> None:
    answer = client.simulate_post(
        f"{_API}/configdocs/c{number}", query_string=f"buffermode={mode}", body=text
    )
    if answer.status_code != 201:
        raise RuntimeError(answer.text[:500])


def _commit(client: TestClient, query: str = "") -> None:
    answer = client.simulate_post(f"{_API}/commitconfigdocs", query_string=query)
    if answer.status_code != 200:
        raise RuntimeError(answer.text[:500])


def _get(client: TestClient, path: str, query: str = "") -> None:
    answer = client.simulate_get(f"{_API}{path}", query_string=query)
    if answer.status_code != 200:
        raise RuntimeError(answer.text[:500])


if __name__ == "__main__":
    main()
