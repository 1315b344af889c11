"""All console blocks of docs/explanation/documents.md, in order, as a reader would run them.

Our service is a real one on a socket. Deckhand is simulated by a server that answers as Deckhand
does: documents with ``id``, ``status`` and all defaults written out, by bucket and revision.
The output shown on the page must appear; `...` stands for any text.
"""

import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import yaml

from staging_api.documents.model import DEFAULT_LIMITS
from staging_api.processes.application import api_of
from tests import forked_command
from tests.document_sets import SECRET, doc, policy, secret, sub
from tests.documents import DocumentApi

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "documents.md").read_text()
CONSOLE = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LOCAL, CONFIRMED, *MOVE = CONSOLE
TOKEN = "gAAAAABm"
DEFAULTS = {"storagePolicy": "cleartext", "replacement": False}
#: The site's documents in Deckhand: revision 7 is committed, 6 is an older revision.
BUCKETS: Mapping[int, Mapping[str, list[Any]]] = {
    6: {"base": [policy(), doc("old", {"x": 1})], "secrets": [secret("pass", "trout")]},
    7: {
        "base": [
            policy(),
            doc("parent", {"a": {"b": "0644"}, "u": "PASS"}, labels={"p": "1"}, abstract=True),
            doc(
                "child",
                {"a": {"c": 2}},
                layer="site",
                parent={"p": "1"},
                subs=[sub("pass", {"path": ".u", "pattern": "PASS"}, schema=SECRET)],
            ),
        ],
        "secrets": [secret("pass", "swordfish")],
    },
}
#: Deckhand's rendering of revision 7.
RENDERED = {"child": {"a": {"b": "0644", "c": 2}, "u": "swordfish"}, "pass": "swordfish"}


class Deckhand(BaseHTTPRequestHandler):
    """The three paths of Deckhand's API that the page uses."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        found = re.fullmatch(r"/api/v1.0/revisions/(\d+)/(rendered-)?documents", url.path)
        if self.headers["X-Auth-Token"] != TOKEN or query.get("cleartext-secrets") != "true":
            self.send_error(403)
        elif found is None or int(found[1]) not in BUCKETS:
            self.send_error(404)
        else:
            values = _stored(int(found[1]), query.get("status.bucket"))
            self._send(list(_rendered(values)) if found[2] else values)

    def _send(self, values: list[Any]) -> None:
        body = yaml.safe_dump_all(values, explicit_start=True).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-yaml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Log nothing."""


def _stored(revision: int, bucket: str | None) -> list[Any]:
    made: list[Any] = []
    for name, values in BUCKETS[revision].items():
        for value in values if bucket in {None, name} else ():
            metadata = {**DEFAULTS, **value["metadata"]}
            metadata["layeringDefinition"] = {
                "abstract": False,
                **metadata.get("layeringDefinition", {}),
            }
            status = {"bucket": name, "revision": revision}
            made.append({**value, "metadata": metadata, "id": len(made) + 1, "status": status})
    return made


def _rendered(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if not value["metadata"]["layeringDefinition"]["abstract"]:
            yield {**value, "data": RENDERED.get(value["metadata"]["name"], value["data"])}


class _Quiet(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        """Leave out the media type that this server, unlike gunicorn, adds."""
        environ = super().get_environ()
        if "Content-Type" not in self.headers:
            del environ["CONTENT_TYPE"]
        return environ

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Log nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer | WSGIServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def shell(site: DocumentApi, tmp_path: Path) -> Iterator["Shell"]:
    """Yield a terminal in an empty folder, with our command line, our service and Deckhand."""
    command = tmp_path / "bin" / "staging-api"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.join(forked_command.words())} "$@"\n')
    command.chmod(0o755)
    folder = tmp_path / "home"
    folder.mkdir()
    ours = make_server("127.0.0.1", 0, api_of(site.services), handler_class=_Quiet)
    theirs = ThreadingHTTPServer(("127.0.0.1", 0), Deckhand)
    with serving(ours) as server, serving(theirs) as deckhand:
        environment = {
            **os.environ,
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "STAGING_SERVER": server,
        }
        yield Shell(folder, environment, deckhand)


class Shell:
    """A shell that runs blocks of the page; variables exported by a block exist in later blocks."""

    def __init__(self, folder: Path, environment: dict[str, str], deckhand: str) -> None:
        self.folder, self._environment, self._deckhand = folder, environment, deckhand
        self._exports = ""

    def run(self, block: str) -> None:
        """Run a block, and compare the output of each command with the page."""
        block = block.replace("http://deckhand.example.org:9000", self._deckhand)
        for command, shown in commands(block):
            if command.startswith("export "):
                self._exports += f"{command}\n"
            done = subprocess.run(
                ["bash", "-c", f"{self._exports}{command}"],
                cwd=self.folder,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            pattern = re.escape(shown.strip()).replace(r"\.\.\.", ".*")
            assert re.fullmatch(pattern, done.stdout.strip(), re.DOTALL), (command, done.stdout)


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a block, with the output that the page shows."""
    for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = entry.splitlines()
        last = next(n for n, line in enumerate(lines) if not line.endswith("\\"))
        yield "\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :])


def named(kind: str) -> str:
    """Return the first block of a kind."""
    found = re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def write_site(shell: Shell) -> None:
    """Write the page's folder ``site``."""
    folder = shell.folder / "site"
    folder.mkdir()
    (folder / "policy.yaml").write_text(named("yaml policy"))
    (folder / "network.yaml").write_text(named("yaml documents"))


def test_folders_are_checked_rendered_and_compared_as_the_page_shows(shell: Shell) -> None:
    write_site(shell)
    shell.run(LOCAL)


def test_a_commit_waits_to_be_confirmed_as_the_page_shows(shell: Shell, site: DocumentApi) -> None:
    write_site(shell)
    shell.run(CONFIRMED)
    assert site.ask("GET", "/document-revisions/1").json["commit"]["confirmed_at"] is not None


def test_a_site_moves_from_deckhand_as_the_page_shows(shell: Shell, site: DocumentApi) -> None:
    for block in MOVE:
        shell.run(block)
    assert site.status() == {"base": "unmodified", "secrets": "unmodified"}
    rendered = site.get(
        "/renderedconfigdocs", version="committed", cleartext_secrets="true"
    ).body.decode()
    found = {each["metadata"]["name"]: each["data"] for each in yaml.safe_load_all(rendered)}
    assert {name: found[name] for name in RENDERED} == RENDERED
    assert "old" not in found
    assert "trout" not in rendered
    [revision, _] = site.ask("GET", "/document-revisions").json["items"]
    assert revision["reason"] == "Deckhand, revision 7"


def test_a_rendering_that_differs_stops_the_move(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RENDERED, "child", {"a": {"b": 420, "c": 2}, "u": "swordfish"})
    *before, last = MOVE
    for block in before:
        shell.run(block)
    with pytest.raises(AssertionError, match=r"\.data\.a\.b: 420 -> .*0644"):
        shell.run(last)


def test_every_console_block_is_run() -> None:
    assert len(CONSOLE) == 5
    assert not re.findall(r"^ {4}(?:\$ )?staging-api", PAGE, re.MULTILINE)


def test_the_limits_are_those_of_the_page() -> None:
    rows = dict(re.findall(r"^\| ([a-z][^|`]*) \| ([\d,]+) \|$", PAGE, re.MULTILINE))
    limits = DEFAULT_LIMITS
    assert {name: int(value.replace(",", "")) for name, value in rows.items()} == {
        "bytes": limits.stream_bytes,
        "documents": limits.documents,
        "keys and values": limits.values,
        "mappings and lists inside each other": limits.depth,
        "characters of all values, aliases written out": limits.expanded_size,
    }
    assert f"{limits.rendered_size:,} characters" in PAGE
    assert f"at most {limits.list_index:,}" in PAGE
