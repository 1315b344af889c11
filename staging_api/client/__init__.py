"""The client library, for programs that stage builds.

    from staging_api.client import StagingClient

    with StagingClient("http://127.0.0.1:8080") as client:
        staging = client.stage("gs://builds/board/R17-1")
        for artifact in staging.artifacts:
            if artifact.state == "staged" and not artifact.unpacked:
                client.download(artifact.path, artifact.name, sha256=artifact.sha256)

It imports none of the server's code, only its errors and vocabulary.
"""

from staging_api.client.archives import Archives
from staging_api.client.client import StagingClient
from staging_api.client.documents import Documents
from staging_api.client.model import (
    FINAL_STATES,
    Event,
    Failure,
    Lock,
    Progress,
    PublisherRun,
    StagedArtifact,
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
    "Lock",
    "Pacing",
    "Progress",
    "PublisherRun",
    "StagedArtifact",
    "Staging",
    "StagingClient",
    "Upload",
]
