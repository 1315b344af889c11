"""How the OpenAPI document describes the devserver's paths, whose errors are lines of text."""

from collections.abc import Iterable, Mapping
from typing import Any

from staging_api.http.described import (
    ALWAYS,
    BEFORE_ROUTING,
    Described,
    operation,
    parameter,
    problems,
    text,
    texts,
)
from staging_api.http.file_contract import FILE_PATHS
from staging_api.http.resources.devserver.help import OUT_OF_SCOPE

_TAG = "devserver"
_ARCHIVE = parameter("archive_url", "the build", required=True)
_WAIT = parameter(
    "upload_wait_seconds",
    "how long to wait for an archive that is still being uploaded",
    schema={"type": "number", "minimum": 0, "maximum": 86400},
)
_ARTIFACTS = parameter("artifacts", "names or groups of the catalogue, with commas")
_FILES = parameter("files", "objects of the archive, staged as they are, with commas")
_BUILD = parameter("build", "TARGET/BUILD", required=True)
_SUITE = parameter("suite_name", "of one suite of tests only")
_FLAG = {"type": "string", "enum": ["True", "False"]}
_BUCKET = parameter("bucket", "of gs://", "path")
_OBJECT = parameter("path", "of the object in it", "path")

_SUCCESS = text("`Success`; `Service Unavailable`: ask again in some seconds")
_STAGING = [_ARCHIVE, _WAIT]

# A status says less here than elsewhere: these clients know 200 and 500.
_REFUSED = {
    **texts(*(status for status in ALWAYS if status not in {400, *BEFORE_ROUTING})),
    **texts(405, 409, 415, 500),
    **problems(*BEFORE_ROUTING),
}


def _get(
    name: str,
    summary: str,
    answer: Mapping[str, Any],
    parameters: Iterable[Described] = (),
    *others: int,
) -> Mapping[str, Described]:
    answers = {**_REFUSED, **texts(*others), "200": answer}
    return {"get": operation(name, summary, _TAG, answers, parameters)}


def _json(description: str) -> Mapping[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {}}}}


def _through(name: str, summary: str, parameters: Iterable[Described]) -> Mapping[str, Described]:
    """A file of a bucket: sent as a staged file is."""
    sent = FILE_PATHS["/static/{path}"]["get"]["responses"]
    files = {status: sent[status] for status in ("200", "206", "302", "304", "412", "416")}
    told = operation(name, summary, _TAG, {**_REFUSED, **files}, parameters)
    return {"get": told}


_DUMP = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"minidump": {"type": "string", "format": "binary"}},
                "required": ["minidump"],
            }
        }
    },
}


def _out_of_scope(path: str, reason: str) -> Mapping[str, Mapping[str, Described]]:
    """A path of the devserver that says why it is not here, and all below it."""

    def told(name: str, *parameters: Described) -> Mapping[str, Described]:
        answers = {**_REFUSED, **texts(404)}
        return {
            method: operation(f"{method}_{name}", f"Not here: {reason}", _TAG, answers, parameters)
            for method in ("get", "post")
        }

    name = path.replace("/", "_")
    rest = parameter("rest", "whatever it is", "path")
    return {f"/{path}": told(name), f"/{path}/{{rest}}": told(f"{name}_below", rest)}


DEVSERVER_PATHS: Mapping[str, Mapping[str, Described]] = {
    "/download": _get("download", "Stage a build", _SUCCESS, _STAGING),
    "/wait_for_status": _get("wait_for_status", "Wait for all of a build", _SUCCESS, [_ARCHIVE]),
    "/stage": _get(
        "stage",
        "Stage artifacts by name, and objects as they are",
        _SUCCESS,
        [
            *_STAGING,
            _ARTIFACTS,
            _FILES,
            parameter("async", "`True`: answer at once", schema=_FLAG),
            parameter("clean", "`True`: stage again what is there", schema=_FLAG),
        ],
    ),
    "/is_staged": _get(
        "is_staged",
        "Whether all of it is staged",
        text("`True`, `False`, or `Service Unavailable`"),
        [_ARCHIVE, _ARTIFACTS, _FILES],
    ),
    "/stage_images": _get(
        "stage_images",
        "Stage disk images",
        _SUCCESS,
        [*_STAGING, parameter("image_types", "test, base, recovery", required=True)],
    ),
    "/stage_debug": _get("stage_debug", "Stage debug symbols", _SUCCESS, _STAGING),
    "/list_image_dir": _get(
        "list_image_dir", "List what is staged of a build", text("a line a file"), [_ARCHIVE]
    ),
    "/latestbuild": _get(
        "latestbuild",
        "The newest build of a target that is staged",
        text("its name; how to ask, if nothing was asked for"),
        [parameter("target", "such as x86-generic-release"), parameter("milestone", "as R17")],
    ),
    "/controlfiles": _get(
        "controlfiles",
        "The control files of a build, or the text of one",
        text("a path a line, or the text; how to ask, if nothing was asked for"),
        [{**_BUILD, "required": False}, _SUITE, parameter("control_path", "of one of them")],
    ),
    "/list_suite_controls": _get(
        "list_suite_controls",
        "Control files with their texts",
        _json("text by path"),
        [_BUILD, _SUITE],
    ),
    "/check_health": _get("check_health", "The load of this server", _json("by name")),
    "/api/fileinfo/{path}": _get(
        "fileinfo",
        "Size and sha256 of a staged file",
        _json("`size`, and `sha256` in base64"),
        [parameter("path", "below /static", "path")],
        404,
    ),
    "/index": _get("index", "Every path with its arguments", text("a line a path")),
    "/doc/{name}": _get(
        "doc", "What a path is for", text("that"), [parameter("name", "of a path", "path")], 404
    ),
    "/download/{bucket}/{path}": _through(
        "download_object", "An object of a bucket", [_BUCKET, _OBJECT, _WAIT]
    ),
    "/extract/{bucket}/{path}": _through(
        "extract",
        "A member of a tar or zip of a bucket",
        [_BUCKET, _OBJECT, parameter("file", "the member", required=True), _WAIT],
    ),
    "/symbolicate_dump": {
        "post": {
            **operation(
                "symbolicate_dump",
                "The stack trace of a crash",
                _TAG,
                {**_REFUSED, **texts(501), "200": text("the stack trace")},
                [{**_ARCHIVE, "required": False}, _WAIT],
            ),
            "requestBody": _DUMP,
        }
    },
    **{
        template: told
        for path, reason in OUT_OF_SCOPE.items()
        for template, told in _out_of_scope(path, reason).items()
    },
}
