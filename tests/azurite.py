"""Azurite, an npm package: a server for the protocol of Azure Blob Storage."""

import base64
import hashlib
import hmac
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from unittest.mock import patch

import obstore
from obstore.store import AzureStore

from staging_api.sources.model import SourceOptions
from tests.conformance.places import free_port, wait_for_port

_TOOLS = Path(os.environ.get("STAGING_TEST_TOOLS", "/var/cache/staging-api-tests"))
_AZURITE = _TOOLS / "azurite/node_modules/.bin/azurite-blob"
#: The server's built-in account, with the key from its documentation.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Az:
    """A container that archives are read from."""

    lists = True

    def __init__(self, endpoint: str) -> None:
        new_container(endpoint, "conformance")
        self.root = "az://conformance"
        self.options = SourceOptions(
            buckets={"az": {"endpoint": endpoint, "account": ACCOUNT}},
            attempts=2,
            backoff_seconds=0.01,
        )
        self._store = AzureStore(
            "conformance",
            account_name=ACCOUNT,
            account_key=KEY,
            endpoint=endpoint,
            client_options={"allow_http": True},
        )

    def put(self, path: str, data: bytes) -> None:
        obstore.put(self._store, path, data, use_multipart=False)

    def remove(self, path: str) -> None:
        obstore.delete(self._store, path)


@contextmanager
def az() -> Iterator[Az]:
    """Run Azurite, and yield a new container on it."""
    with azurite() as endpoint:
        yield Az(endpoint)


@contextmanager
def azurite() -> Iterator[str]:
    """Run Azurite with its key in the environment; yield the address of its account."""
    port = free_port()
    where = ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
    quiet = ["--silent", "--inMemoryPersistence", "--disableTelemetry"]
    with (
        patch.dict(os.environ, {"AZURE_STORAGE_ACCOUNT_KEY": KEY}),
        subprocess.Popen([_AZURITE, *where, *quiet], stdout=subprocess.DEVNULL) as server,
    ):
        try:
            wait_for_port(port, server, seconds=60)
            yield f"http://127.0.0.1:{port}/{ACCOUNT}"
        finally:
            server.terminate()


def new_container(endpoint: str, name: str) -> None:
    """Create a container with a request that is signed with the account's key."""
    dated = f"x-ms-date:{formatdate(usegmt=True)}\nx-ms-version:2021-08-06"
    place = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signed = "\n".join(["PUT", *[""] * 11, dated, place])
    digest = hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)
    headers = dict(line.split(":", 1) for line in dated.split("\n"))
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    url = f"{endpoint}/{name}?restype=container"
    made = urllib.request.Request(url, method="PUT", headers=headers)
    urllib.request.urlopen(made).close()
