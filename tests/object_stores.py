"""Stores in a folder and in buckets of each service, on local servers."""

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.azurite import ACCOUNT, azurite, new_container
from tests.buckets import new_bucket, s3_server
from tests.conformance.places import gcs_server
from tests.gcs_xml import gcs_xml

#: Factory that creates an empty bucket, and returns the URL of a store in it.
NewStore = Callable[[], str]
_numbers = count(1)


@contextmanager
def s3() -> Iterator[NewStore]:
    """Run moto."""
    with s3_server() as endpoint:
        yield lambda: new_bucket(endpoint)


@contextmanager
def gs() -> Iterator[NewStore]:
    """Run fake-gcs-server behind the XML API that it lacks, with a credential that can sign."""
    with (
        gcs_server() as server,
        gcs_xml(server) as endpoint,
        patch.dict(os.environ, {"GOOGLE_SERVICE_ACCOUNT_KEY": _service_account(endpoint)}),
    ):

        def new() -> str:
            name = f"store-{next(_numbers)}"
            body = json.dumps({"name": name}).encode()
            made = urllib.request.Request(f"{server}/storage/v1/b", body, method="POST")
            urllib.request.urlopen(made).close()
            return f"gs://{name}/some/prefix?endpoint={endpoint}"

        yield new


@contextmanager
def az() -> Iterator[NewStore]:
    """Run Azurite."""
    with azurite() as endpoint:

        def new() -> str:
            name = f"store-{next(_numbers)}"
            new_container(endpoint, name)
            return f"az://{name}/some/prefix?account={ACCOUNT}&endpoint={endpoint}"

        yield new


#: Services whose servers come from PyPI, and services that need another package.
SERVERS: dict[str, Callable[[], AbstractContextManager[NewStore]]] = {"s3": s3, "gs": gs, "az": az}
BUCKETS = ["s3", "gs", pytest.param("az", marks=pytest.mark.system)]


def _service_account(endpoint: str) -> str:
    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "client_email": "staging@example.iam.gserviceaccount.com",
        "private_key": pem,
        "private_key_id": "1",
        "gcs_base_url": endpoint,
    }
    return json.dumps(account)
