"""The client library, for programs that stage builds.

    from staging_api.client import StagingClient

    with StagingClient("http://127.0.0.1:8080") as client:
        staging = client.stage("gs://builds/board/R17-1")
        client.fetch(staging, to="builds/R17-1")

`AsyncStagingClient` has the same methods for an event loop; `errors` lists the errors they raise.
Requests and retries are logged by ``staging_api.client``, at the levels debug and info. The package
imports none of the server's code, only its errors and vocabulary.
"""

import logging

from staging_api.client import errors
from staging_api.client.async_client import AsyncArchives, AsyncDocuments, AsyncStagingClient
from staging_api.client.client import Archives, Documents, StagingClient
from staging_api.client.fetching import Fetched, FetchOptions
from staging_api.client.model import (
    FINAL_STATES,
    Event,
    Failure,
    Lock,
    Progress,
    PublisherRun,
    StagedArtifact,
    StagedFile,
    Staging,
    Upload,
)
from staging_api.client.pacing import Pacing

__all__ = [
    "FINAL_STATES",
    "Archives",
    "AsyncArchives",
    "AsyncDocuments",
    "AsyncStagingClient",
    "Documents",
    "Event",
    "Failure",
    "FetchOptions",
    "Fetched",
    "Lock",
    "Pacing",
    "Progress",
    "PublisherRun",
    "StagedArtifact",
    "StagedFile",
    "Staging",
    "StagingClient",
    "Upload",
    "errors",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
