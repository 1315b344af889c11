"""Test documents, and the document API of one process; each response is checked by the contract."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import yaml
from falcon.testing import TestClient

from staging_api.processes.application import api_of
from staging_api.processes.bootstrap import build
from staging_api.processes.services import Services
from staging_api.settings import Settings
from tests import contract
from tests.service import Answer

API = "/api/v1.0"
SCRIPT = "pegleg/Script/v1"
POLICY_SCHEMA = "deckhand/LayeringPolicy/v1"
JSON = {"Content-Type": "application/json"}


def document(name: str, data: Any = None, *, schema: str = SCRIPT, **metadata: Any) -> Any:
    """Return a document; `metadata` adds members such as ``storagePolicy``."""
    whole = {
        "schema": "metadata/Document/v1",
        "name": name,
        "storagePolicy": "cleartext",
        "layeringDefinition": {"abstract": False, "layer": "site"},
        **metadata,
    }
    return {"schema": schema, "metadata": whole, "data": {"value": 1} if data is None else data}


def secret(name: str, data: Any = "swordfish", **metadata: Any) -> Any:
    """Return an encrypted document."""
    return document(name, data, storagePolicy="encrypted", **metadata)


def policy(name: str = "layering-policy") -> Any:
    """Return the LayeringPolicy of a site."""
    return {
        "schema": POLICY_SCHEMA,
        "metadata": {"schema": "metadata/Control/v1", "name": name},
        "data": {"layerOrder": ["global", "type", "site"]},
    }


def stream(*documents: Any) -> bytes:
    """Serialize documents as a client sends them."""
    text: str = yaml.safe_dump_all(documents, explicit_start=True)
    return text.encode()


def loaded(text: bytes) -> list[Any]:
    """Parse documents as a client reads them."""
    return list(yaml.safe_load_all(text))


@dataclass(frozen=True)
class DocumentApi:
    """The API of one process, called without a socket."""

    services: Services
    client: TestClient
    headers: Mapping[str, str]

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, and return its response."""
        bare, _, query = path.partition("?")
        response = self.client.simulate_request(
            method,
            bare,
            query_string=query,
            body=body,
            headers={**self.headers, **(headers or {})},
        )
        media = response.headers.get("content-type", "")
        if method != "HEAD":
            contract.check(method, unquote(bare), response.status_code, media, response.content)
        return Answer(
            response.status_code,
            {k.title(): v for k, v in response.headers.items()},
            response.content,
        )

    def get(self, route: str, /, **query: Any) -> Answer:
        """Send a GET; parameter names have ``_`` for ``-``."""
        return self.send("GET", path_of(route, query))

    def post(self, collection: str, *documents: Any, **query: Any) -> Answer:
        """Post a collection; without documents, an empty body."""
        body = stream(*documents) if documents else b""
        return self.post_text(collection, body, **query)

    def post_text(self, collection: str, body: bytes, **query: Any) -> Answer:
        """Post this text as a collection."""
        headers = {"Content-Type": "application/x-yaml", "Content-Length": str(len(body))}
        path = path_of(f"/configdocs/{collection}", query)
        return self.send("POST", path, body, headers)

    def add(self, collection: str, *documents: Any) -> None:
        """Post a collection in addition to the buffered ones."""
        answer = self.post(collection, *documents, buffermode="append")
        assert answer.status == 201, answer.body

    def commit(self, **query: Any) -> Answer:
        """Commit the buffer."""
        return self.send("POST", path_of("/commitconfigdocs", query))

    def committed(self, collection: str, *documents: Any) -> None:
        """Post a collection and commit the buffer."""
        self.add(collection, *documents)
        answer = self.commit()
        assert answer.status == 200, answer.body

    def ask(self, method: str, path: str, body: object = None, **query: Any) -> Answer:
        """Send a request to one of our own routes."""
        raw = None if body is None else json.dumps(body).encode()
        return self.send(method, path_of(path, query), raw, JSON if raw else None)

    def status(self) -> dict[str, str]:
        """Return the status of each collection in the buffer."""
        found = self.get("/configdocs").json
        return {each["collection_name"]: each["new_status"] for each in found}


def path_of(path: str, query: Mapping[str, Any]) -> str:
    """Return a path below the base path, with its query; lists become repeated parameters."""
    named = {name.replace("_", "-") if name in _DASHED else name: v for name, v in query.items()}
    asked = urlencode(named, doseq=True)
    return f"{API}{path}{'?' if asked else ''}{asked}"


_DASHED = {"empty_collection", "cleartext_secrets"}


@contextmanager
def document_api(
    database_url: str, folder: Path, headers: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[DocumentApi]:
    """Yield the API of one process on a database."""
    chosen = Settings.from_env(
        database_url=database_url, store=f"file://{folder / 'store'}", **settings
    )
    services = build(chosen)
    try:
        yield DocumentApi(services, TestClient(api_of(services)), headers or {})
    finally:
        services.close()
