"""Buckets on a server of this process that speaks S3's protocol."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from unittest.mock import patch

import obstore
import urllib3
from obstore.store import S3Store

_buckets = count(1)
KEY, SECRET, REGION = "test", "very-secret", "us-east-1"
#: What any client of it has to have; the server takes whatever it is.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto, with credentials for it in the environment; gives its endpoint."""
    # Slow to import, and most processes of the tests need none.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        with patch.dict(os.environ, CREDENTIALS):
            yield f"http://{host}:{port}"
    finally:
        server.stop()


def new_bucket(endpoint: str) -> str:
    """Make a bucket; gives the URL of a store in it."""
    name = f"store-{next(_buckets)}"
    urllib3.request("PUT", f"{endpoint}/{name}")
    return f"s3://{name}/some/prefix?endpoint={endpoint}"


@dataclass(frozen=True)
class Bucket:
    """A bucket, and what a process needs in its environment to use it."""

    store: S3Store
    environment: Mapping[str, str]

    def get(self, path: str) -> bytes:
        return bytes(obstore.get(self.store, path).bytes())

    def cache_control(self, path: str) -> str | None:
        """What the bucket tells caches about an object."""
        return obstore.get(self.store, path).attributes.get("Cache-Control")

    def put(self, path: str, content: bytes) -> None:
        obstore.put(self.store, path, content, use_multipart=False)

    def names(self, folder: str) -> set[str]:
        """Of the objects right in a folder."""
        found = obstore.list_with_delimiter(self.store, folder)["objects"]
        return {each["path"].removeprefix(folder) for each in found}


@contextmanager
def bucket(name: str) -> Iterator[Bucket]:
    """An empty bucket."""
    with s3_server() as endpoint:
        urllib3.request("PUT", f"{endpoint}/{name}")
        store = S3Store(
            name,
            endpoint=endpoint,
            region=REGION,
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )
        where = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}
        yield Bucket(store, {**CREDENTIALS, **where})
