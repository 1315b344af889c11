"""A bucket on a server of this process that speaks S3's protocol."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import obstore
import urllib3
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

KEY, SECRET, REGION = "test", "very-secret", "us-east-1"


@dataclass(frozen=True)
class Bucket:
    """A bucket, and what a process needs in its environment to use it."""

    store: S3Store
    environment: Mapping[str, str]

    def get(self, path: str) -> bytes:
        return bytes(obstore.get(self.store, path).bytes())

    def put(self, path: str, content: bytes) -> None:
        obstore.put(self.store, path, content, use_multipart=False)

    def names(self, folder: str) -> set[str]:
        """Of the objects right in a folder."""
        found = obstore.list_with_delimiter(self.store, folder)["objects"]
        return {each["path"].removeprefix(folder) for each in found}


@contextmanager
def bucket(name: str) -> Iterator[Bucket]:
    """An empty bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        urllib3.request("PUT", f"{endpoint}/{name}")
        store = S3Store(
            name,
            endpoint=endpoint,
            region=REGION,
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )
        environment = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
        }
        yield Bucket(store, environment)
    finally:
        server.stop()
