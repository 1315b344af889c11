"""Buckets on an S3 server that runs in this process."""

import os
import tempfile
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
#: Credentials that any S3 client requires; the server accepts any value.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}


@contextmanager
def one_certificate() -> Iterator[None]:
    """Let clients of buckets find one certificate instead of all of the system's.

    They read certificates even for HTTP, and most of the time that creating a client takes goes to
    the system's hundreds.
    """
    from trustme import CA

    with tempfile.TemporaryDirectory() as folder:
        CA().cert_pem.write_to_path(f"{folder}/ca.pem")
        where = {"SSL_CERT_DIR": folder, "SSL_CERT_FILE": f"{folder}/ca.pem"}
        with patch.dict(os.environ, where):
            yield


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto, with credentials for it in the environment; yield its endpoint."""
    # Imported here because the import is slow, and most test processes do not need it.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        with patch.dict(os.environ, CREDENTIALS), one_certificate():
            yield f"http://{host}:{port}"
    finally:
        server.stop()


def new_bucket(endpoint: str) -> str:
    """Create a bucket; return the URL of a store in it."""
    name = f"store-{next(_buckets)}"
    urllib3.request("PUT", f"{endpoint}/{name}")
    return f"s3://{name}/some/prefix?endpoint={endpoint}"


@dataclass(frozen=True)
class Bucket:
    """A bucket, and the environment variables with which a process uses it."""

    store: S3Store
    environment: Mapping[str, str]

    def get(self, path: str) -> bytes:
        return bytes(obstore.get(self.store, path).bytes())

    def cache_control(self, path: str) -> str | None:
        """Return the Cache-Control header of an object in the bucket."""
        return obstore.get(self.store, path).attributes.get("Cache-Control")

    def put(self, path: str, content: bytes) -> None:
        obstore.put(self.store, path, content, use_multipart=False)

    def names(self, folder: str) -> set[str]:
        """Return the names of the objects directly in a folder."""
        found = obstore.list_with_delimiter(self.store, folder)["objects"]
        return {each["path"].removeprefix(folder) for each in found}


@contextmanager
def bucket(name: str) -> Iterator[Bucket]:
    """Yield an empty bucket."""
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
