"""APT archive that is created, filled and published only through the HTTP API."""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from tests.service import API, Answer, Client

_numbers = itertools.count(1)
PUBLICATIONS = f"{API}/publications"


@dataclass(frozen=True)
class AptArchiveApi:
    """An APT archive with the suite ``stable``, two components and two architectures."""

    client: Client
    name: str

    @classmethod
    def make(cls, client: Client, **values: Any) -> "AptArchiveApi":
        """Create an archive with a name that no other test uses."""
        name = f"archive-{os.getpid()}-{next(_numbers)}"
        suite = {"name": "stable", "components": ["main", "contrib"]}
        suite["architectures"] = ["amd64", "arm64"]
        made = client.post(
            f"{API}/apt-archives", {"name": name, "origin": "Example", "suites": [suite], **values}
        )
        assert made.status == 201, made.body
        return cls(client, name)

    def at(self, client: Client) -> "AptArchiveApi":
        """Return the same archive, accessed through another pod."""
        return AptArchiveApi(client, self.name)

    @property
    def url(self) -> str:
        return f"{self.client.url}/archive/{self.name}"

    @property
    def path(self) -> str:
        return f"{API}/apt-archives/{self.name}"

    def get(self, path: str, **headers: str) -> Answer:
        return self.client.get(f"/archive/{self.name}/{quote(path)}", **headers)

    def upload(
        self, name: str, raw: bytes, component: str = "main", suite: str = "stable"
    ) -> Answer:
        """Upload one package."""
        query = urlencode({"suite": suite, "component": component, "name": name})
        headers = {"Content-Type": "application/octet-stream"}
        return self.client.send("POST", f"{self.path}/uploads?{query}", raw, headers)

    def send(
        self, files: Mapping[str, bytes], component: str = "main", suite: str = "stable"
    ) -> Answer:
        """Upload several files as a form."""
        fields = [("file", (name, raw)) for name, raw in files.items()]
        body, media = urllib3.encode_multipart_formdata(fields)
        query = urlencode({"suite": suite, "component": component})
        return self.client.send(
            "POST", f"{self.path}/uploads?{query}", body, {"Content-Type": media}
        )

    def publish(self, operation: str = "publish-ftpmaster", **options: Any) -> Answer:
        """Run a publisher operation."""
        return self.client.post(
            PUBLICATIONS, {"operation": operation, "archive": self.name, "options": options}
        )

    def published(self, operation: str = "publish-ftpmaster", **options: Any) -> Any:
        """Run a publisher operation that must succeed, and return its result."""
        answer = self.publish(operation, **options)
        assert answer.status == 201, answer.body
        return answer.json
