"""A bucket of an S3 server on loopback, for stores."""

import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from unittest.mock import patch

from moto.server import ThreadedMotoServer

_buckets = count(1)
#: What any client of it has to have; the server takes whatever it is.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto, with credentials for it in the environment; gives its endpoint."""
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
    request = urllib.request.Request(f"{endpoint}/{name}", method="PUT")
    urllib.request.urlopen(request).close()
    return f"s3://{name}/some/prefix?endpoint={endpoint}"
