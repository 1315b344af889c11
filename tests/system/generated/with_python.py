"""A client that openapi-python-client made: stage, wait, list, a refusal, documents.

Run as ``with_python.py BASE_URL TOKEN ARCHIVE_URL`` by the generator's own interpreter, with the
generated package in the path; a collection of documents is read from standard input.
"""

import io
import json
import sys
from typing import Any
from uuid import uuid4

from generated.api.artifacts import list_artifacts
from generated.api.configdocs import commit_configdocs, get_renderedconfigdocs, post_configdocs
from generated.api.stagings import create_staging, get_staging, list_stagings
from generated.client import AuthenticatedClient
from generated.models import (
    GetRenderedconfigdocsVersion,
    ListArtifactsState,
    PostConfigdocsBuffermode,
    Problem,
    StagingBody,
    StagingRequest,
)
from generated.types import File

FINAL = {"staged", "failed", "cancelled"}


def main(base_url: str, token: str, archive_url: str) -> None:
    client = AuthenticatedClient(base_url=base_url, token=token)
    staging = waited_for(client, staged(client, archive_url))
    listed = list_stagings.sync(client=client, archive_url=archive_url)
    artifacts = list_artifacts.sync(
        client=client, archive_url=archive_url, state=ListArtifactsState.STAGED
    )
    refused = create_staging.sync(
        client=client, body=StagingRequest(archive_url="https://elsewhere.example/x")
    )
    assert isinstance(refused, Problem)
    unknown = get_staging.sync("00000000000000000000000000", client=client)
    assert isinstance(unknown, Problem)
    said: dict[str, Any] = {
        "state": staging.state,
        "requested": staging.requested,
        "marker": staging.reference_id,
        "listed": [each.id for each in listed.items] == [staging.id],
        "artifacts": sorted(each.name for each in artifacts.items),
        "refused": refused.code,
        "unknown": [unknown.status, unknown.code, unknown.help_],
        "rendered": documents(client),
    }
    print(json.dumps(said))


def staged(client: AuthenticatedClient, archive_url: str) -> StagingBody:
    body = StagingRequest(archive_url=archive_url)
    marker = str(uuid4())
    made = create_staging.sync(
        client=client, body=body, idempotency_key=str(uuid4()), x_context_marker=marker
    )
    assert isinstance(made, StagingBody), made
    assert made.reference_id == marker
    return made


def waited_for(client: AuthenticatedClient, staging: StagingBody) -> StagingBody:
    """By long polls, each with the ETag of the answer before."""
    etag = ""
    while staging.state not in FINAL:
        answer = get_staging.sync_detailed(
            staging.id, client=client, prefer="wait=5", if_none_match=etag
        )
        if answer.status_code != 304:
            assert isinstance(answer.parsed, StagingBody), answer
            staging, etag = answer.parsed, answer.headers["ETag"]
    return staging


def documents(client: AuthenticatedClient) -> str:
    # Of a pipe its HTTP library would declare no bytes.
    given = io.BytesIO(sys.stdin.buffer.read())
    posted = post_configdocs.sync_detailed(
        "generated",
        client=client,
        body=File(payload=given),
        buffermode=PostConfigdocsBuffermode.APPEND,
    )
    assert posted.status_code == 201, posted
    committed = commit_configdocs.sync(client=client)
    assert committed.status == "Success", committed
    rendered = get_renderedconfigdocs.sync_detailed(
        client=client, version=GetRenderedconfigdocsVersion.COMMITTED
    )
    return str(rendered.content, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
