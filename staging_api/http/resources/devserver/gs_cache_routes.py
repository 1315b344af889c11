"""Routes of gs_cache's paths, at the root and below ``gscache/``."""

from collections.abc import Iterable, Mapping
from typing import Any

from staging_api.http.described import Described, operation, parameter, text, texts
from staging_api.http.file_contract import FILE_PATHS
from staging_api.http.permissions import STAGERS
from staging_api.http.resources.devserver.answers import status_error
from staging_api.http.resources.devserver.gs_cache import (
    BucketMember,
    BucketObjectAsIs,
    Decompressed,
    ListDir,
)
from staging_api.http.resources.devserver.rows import REFUSED, TAG, WAIT, row, text_row
from staging_api.http.route import Route

_BUCKET = parameter("bucket", "of gs://", "path")
_MEMBER = parameter("file", "the member; several, or with * or ?: JSON of texts", required=True)
_OBJECT = parameter("path", "of the object in it", "path")


def gs_cache_routes(prefix: str) -> tuple[Route, ...]:
    """Return the routes of gs_cache, at the root or below its own name."""
    name = prefix.strip("/")
    name = f"{name}_" if name else ""
    through: tuple[tuple[str, type[Any], str, list[Described]], ...] = (
        ("download", BucketObjectAsIs, "An object of a bucket", []),
        ("extract", BucketMember, "A member of a tar or zip of a bucket", [_MEMBER]),
        ("decompress", Decompressed, "An object of a bucket, decompressed", []),
    )
    routes = [
        row(
            f"{prefix}/{verb}/{{bucket}}/{{path:path}}",
            resource,
            STAGERS,
            _through(f"{name}{verb}_object", summary, [_BUCKET, _OBJECT, *others, WAIT]),
            errors=status_error,
        )
        for verb, resource, summary, others in through
    ]
    listing = text_row(
        f"{prefix}/list_dir/{{bucket}}/{{path:path}}",
        ListDir,
        STAGERS,
        "What is directly in a folder of a bucket",
        text("a URL a line"),
        *(_BUCKET, _OBJECT),
        name=f"{name}list_dir",
        refused=[400, 404, 422, 502],
        errors=status_error,
    )
    return (*routes, listing)


def _through(name: str, summary: str, parameters: Iterable[Described]) -> Mapping[str, Described]:
    """Describe a file of a bucket, which is sent like a staged file."""
    sent = FILE_PATHS["/static/{path}"]["get"]["responses"]
    files = {status: sent[status] for status in ("200", "206", "302", "304", "412", "416")}
    refused = {**REFUSED, **texts(400, 404, 422, 502, 504, 507), **files}
    described = {status: {"description": each["description"]} for status, each in refused.items()}
    return {
        "get": operation(name, summary, TAG, refused, parameters),
        "head": operation(f"head_{name}", summary, TAG, described, parameters),
    }
