"""What the API of documents takes at 10,000 documents in 100 collections.

Beside each figure stands libyaml's load of the whole site in the same run: a machine that is busy
is busy for both. Run with ``python -m benchmarks.documents.serving``; it starts a PostgreSQL.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from falcon.testing import TestClient

from staging_api.bootstrap import build
from staging_api.db.embedded import running
from staging_api.db.migrate import migrate
from staging_api.settings import Settings

_COLLECTIONS = 100
_DOCUMENTS = 100
_ROUNDS = 5
_API = "/api/v1.0"
_POLICY = """---
schema: deckhand/LayeringPolicy/v1
metadata: {schema: metadata/Control/v1, name: layers}
data: {layerOrder: [site]}
"""


def collection(number: int, value: int = 0) -> str:
    """The text of one collection; `value` changes one document of it."""
    made = [_document(number, place, value if place == 0 else 0) for place in range(_DOCUMENTS)]
    return "".join([_POLICY] * (number == 0) + made)


def main() -> None:
    """Measure, and print a line for each figure."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        migrate(server.url)
        settings = Settings.from_env(database_url=server.url, store=f"file://{folder}/store")
        services = build(settings)
        try:
            _measure(TestClient(services.app()))
        finally:
            services.close()


def _measure(client: TestClient) -> None:
    texts = [collection(number) for number in range(_COLLECTIONS)]
    whole = "".join(texts)
    loading = _seconds(lambda: list(yaml.load_all(whole, Loader=yaml.CSafeLoader)))
    began = time.perf_counter()
    for number, text in enumerate(texts):
        _post(client, number, text)
    _commit(client)
    first = time.perf_counter() - began
    posts, commits = [], []
    for value in range(1, _ROUNDS + 1):
        text = collection(7, value)
        posts.append(_seconds(lambda text=text: _post(client, 7, text), rounds=1))  # type: ignore[misc]
        commits.append(_seconds(lambda: _commit(client), rounds=1))
    status = _seconds(lambda: _get(client, "/configdocs"))
    raw = _seconds(lambda: _get(client, "/configdocs/c7", "version=committed"))
    figures = {
        "libyaml loads all": loading,
        "all posted, one by one, and committed": first,
        "one changed document: post": statistics.median(posts),
        "one changed document: commit": statistics.median(commits),
        "status compare": status,
        "raw get of one collection": raw,
    }
    for name, seconds in figures.items():
        print(f"{name:40} {1000 * seconds:10.1f} ms {seconds / loading:8.3f} x libyaml")


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


def _seconds(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _post(client: TestClient, number: int, text: str) -> None:
    answer = client.simulate_post(
        f"{_API}/configdocs/c{number}", query_string="buffermode=append", body=text.encode()
    )
    if answer.status_code != 201:
        raise RuntimeError(answer.text[:500])


def _commit(client: TestClient) -> None:
    answer = client.simulate_post(f"{_API}/commitconfigdocs")
    if answer.status_code != 200:
        raise RuntimeError(answer.text[:500])


def _get(client: TestClient, path: str, query: str = "") -> None:
    answer = client.simulate_get(f"{_API}{path}", query_string=query)
    if answer.status_code != 200:
        raise RuntimeError(answer.text[:500])


if __name__ == "__main__":
    main()
