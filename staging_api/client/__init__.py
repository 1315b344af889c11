"""The client library, for programs that stage builds.

    from staging_api.client import StagingClient

    with StagingClient("http://127.0.0.1:8080") as client:
        staging = client.stage("gs://builds/board/R17-1")
        client.fetch(staging, to="builds/R17-1")

It imports none of the server's code, only its errors and vocabulary.
"""

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
]
