"""The paths of the devserver, at the root as its clients have them; errors are lines of text."""

from collections.abc import Iterable, Mapping
from typing import Any

from staging_api.http.dependencies import AppDependencies
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
from staging_api.http.permissions import ANYBODY, CONTENT, STAGERS, Roles
from staging_api.http.problems import ErrorForm
from staging_api.http.resources.devserver.answers import status_error, text_error, word_error
from staging_api.http.resources.devserver.builds import LatestBuild
from staging_api.http.resources.devserver.controlfiles import ControlFiles, ListSuiteControls
from staging_api.http.resources.devserver.fileinfo import FileInfo
from staging_api.http.resources.devserver.gs_cache import (
    Decompressed,
    FromArchive,
    FromBucket,
    ListDir,
)
from staging_api.http.resources.devserver.health import CheckHealth
from staging_api.http.resources.devserver.help import (
    OUT_OF_SCOPE,
    Doc,
    Documented,
    Index,
    OutOfScope,
)
from staging_api.http.resources.devserver.images import ListImageDir, LocateFile, StageImages
from staging_api.http.resources.devserver.staging import Download, IsStaged, Stage, WaitForStatus
from staging_api.http.resources.devserver.symbols import StageDebug, SymbolicateDump
from staging_api.http.resources.static import StaticFiles
from staging_api.http.route import Make, Route

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
_MEMBER = parameter("file", "the member; several, or with * or ?: JSON of texts", required=True)
_OBJECT = parameter("path", "of the object in it", "path")

_SUCCESS = text("`Success`; `Service Unavailable`: ask again in some seconds")
_STAGING = [_ARCHIVE, _WAIT]

# A status says less here than elsewhere: these clients know 200 and 500.
_REFUSED = {
    **texts(*(status for status in ALWAYS if status not in {400, *BEFORE_ROUTING})),
    **texts(405, 409, 415, 500),
    **problems(*BEFORE_ROUTING),
}


def _json(description: str) -> Mapping[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {}}}}


def _get(
    name: str,
    summary: str,
    answer: Described,
    parameters: Iterable[Described] = (),
    *others: int,
) -> Mapping[str, Described]:
    answers = {**_REFUSED, **texts(*others), "200": answer}
    return {"get": operation(name, summary, _TAG, answers, parameters)}


def _through(name: str, summary: str, parameters: Iterable[Described]) -> Mapping[str, Described]:
    """A file of a bucket: sent as a staged file is."""
    sent = FILE_PATHS["/static/{path}"]["get"]["responses"]
    files = {status: sent[status] for status in ("200", "206", "302", "304", "412", "416")}
    refused = {**_REFUSED, **texts(400, 404, 422, 502, 504, 507), **files}
    described = {status: {"description": each["description"]} for status, each in refused.items()}
    return {
        "get": operation(name, summary, _TAG, refused, parameters),
        "head": operation(f"head_{name}", summary, _TAG, described, parameters),
    }


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


def _row(
    path: str,
    resource: type[Any],
    roles: Roles,
    contract: Mapping[str, Described],
    *,
    errors: ErrorForm = text_error,
    make: Make | None = None,
) -> Route:
    methods = {method.upper(): roles for method in contract}
    make = make or (lambda deps: resource(deps.devserver))
    return Route(path, methods, make, contract, errors, resource)


def _word(
    path: str,
    resource: type[Any],
    roles: Roles,
    summary: str,
    parameters: Iterable[Described],
    *,
    answer: Described = _SUCCESS,
) -> Route:
    """A path whose answer is one word."""
    contract = _get(path.strip("/"), summary, answer, parameters)
    return _row(path, resource, roles, contract, errors=word_error)


def _static(deps: AppDependencies) -> StaticFiles:
    return StaticFiles(deps.files, deps.sender, deps.wait_cap_seconds)


def _reading_through(resource: type[Any]) -> Make:
    return lambda deps: resource(deps.devserver, _static(deps))


def _gs_cache(prefix: str) -> tuple[Route, ...]:
    """The paths of gs_cache, at the root or below its own name."""
    name = prefix.strip("/")
    name = f"{name}_" if name else ""
    through: tuple[tuple[str, type[Any], str, list[Described]], ...] = (
        ("download", FromBucket, "An object of a bucket", []),
        ("extract", FromArchive, "A member of a tar or zip of a bucket", [_MEMBER]),
        ("decompress", Decompressed, "An object of a bucket, decompressed", []),
    )
    routes = [
        _row(
            f"{prefix}/{verb}/{{bucket}}/{{path:path}}",
            resource,
            STAGERS,
            _through(f"{name}{verb}_object", summary, [_BUCKET, _OBJECT, *others, _WAIT]),
            errors=status_error,
            make=_reading_through(resource),
        )
        for verb, resource, summary, others in through
    ]
    listing = _get(
        f"{name}list_dir",
        "What is directly in a folder of a bucket",
        text("a URL a line"),
        [_BUCKET, _OBJECT],
        *(400, 404, 422, 502),
    )
    path = f"{prefix}/list_dir/{{bucket}}/{{path:path}}"
    return (*routes, _row(path, ListDir, STAGERS, listing, errors=status_error))


_ROUTES = (
    _word("/download", Download, STAGERS, "Stage a build", _STAGING),
    _word("/wait_for_status", WaitForStatus, CONTENT, "Wait for all of a build", [_ARCHIVE]),
    _word(
        "/stage",
        Stage,
        STAGERS,
        "Stage artifacts by name, and objects as they are",
        [
            *_STAGING,
            _ARTIFACTS,
            _FILES,
            parameter("async", "`True`: answer at once", schema=_FLAG),
            parameter("clean", "`True`: stage again what is there", schema=_FLAG),
        ],
    ),
    _word(
        "/is_staged",
        IsStaged,
        CONTENT,
        "Whether all of it is staged",
        [_ARCHIVE, _ARTIFACTS, _FILES],
        answer=text("`True`, `False`, or `Service Unavailable`"),
    ),
    _word(
        "/stage_images",
        StageImages,
        STAGERS,
        "Stage disk images",
        [*_STAGING, parameter("image_types", "test, base, recovery", required=True)],
    ),
    _row(
        "/list_image_dir",
        ListImageDir,
        CONTENT,
        _get("list_image_dir", "List what is staged of a build", text("a line a file"), [_ARCHIVE]),
    ),
    _row(
        "/locate_file",
        LocateFile,
        CONTENT,
        _get(
            "locate_file",
            "Where a staged file of a build is",
            text("its path below the build's folder"),
            [_ARCHIVE, parameter("file_name", "of the file", required=True)],
        ),
    ),
    _word("/stage_debug", StageDebug, STAGERS, "Stage debug symbols", _STAGING),
    _row(
        "/symbolicate_dump",
        SymbolicateDump,
        STAGERS,
        {
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
    ),
    _row(
        "/latestbuild",
        LatestBuild,
        CONTENT,
        _get(
            "latestbuild",
            "The newest build of a target that is staged",
            text("its name; how to ask, if nothing was asked for"),
            [parameter("target", "such as x86-generic-release"), parameter("milestone", "as R17")],
        ),
    ),
    _row(
        "/controlfiles",
        ControlFiles,
        CONTENT,
        _get(
            "controlfiles",
            "The control files of a build, or the text of one",
            text("a path a line, or the text; how to ask, if nothing was asked for"),
            [{**_BUILD, "required": False}, _SUITE, parameter("control_path", "of one of them")],
        ),
    ),
    _row(
        "/list_suite_controls",
        ListSuiteControls,
        CONTENT,
        _get(
            "list_suite_controls",
            "Control files with their texts",
            _json("text by path"),
            [_BUILD, _SUITE],
        ),
    ),
    _row(
        "/check_health",
        CheckHealth,
        ANYBODY,
        _get("check_health", "The load of this server", _json("by name")),
    ),
    _row(
        "/api/fileinfo/{path:path}",
        FileInfo,
        CONTENT,
        _get(
            "fileinfo",
            "Size and sha256 of a staged file",
            _json("`size`, and `sha256` in base64"),
            [parameter("path", "below /static", "path")],
            404,
        ),
    ),
    *(route for prefix in ("", "/gscache") for route in _gs_cache(prefix)),
)


def _help(routes: Iterable[Route]) -> Mapping[str, type[Documented]]:
    """Return the resources by the names under which ``doc`` explains them."""
    named: dict[str, type[Documented]] = {}
    for route in routes:
        if route.help is not None:
            name = f"{route.prefix}/BUCKET" if route.prefix in named else route.prefix
            named[name] = route.help
    return named


_HELP = _help(_ROUTES)
_HELP_ROUTES = (
    _row(
        "/index",
        Index,
        ANYBODY,
        _get("index", "Every path with its arguments", text("a line a path")),
        make=lambda _deps: Index(_HELP),
    ),
    _row(
        "/doc/{name:path}",
        Doc,
        ANYBODY,
        _get(
            "doc", "What a path is for", text("that"), [parameter("name", "of a path", "path")], 404
        ),
        make=lambda _deps: Doc(_HELP),
    ),
)


def _not_here(path: str, reason: str) -> tuple[Route, Route]:
    """A path of the devserver that says why it is not here, to POST as well, and all below it."""

    def route(template: str, name: str, *parameters: Described) -> Route:
        answers = {**_REFUSED, **texts(404)}
        contract = {
            method: operation(f"{method}_{name}", f"Not here: {reason}", _TAG, answers, parameters)
            for method in ("get", "post")
        }
        methods = {"GET": ANYBODY, "POST": ANYBODY}
        return Route(template, methods, lambda _deps: OutOfScope(reason), contract, text_error)

    name, rest = path.replace("/", "_"), parameter("rest", "whatever it is", "path")
    return route(f"/{path}", name), route(f"/{path}/{{rest:path}}", f"{name}_below", rest)


DEVSERVER_ROUTES: tuple[Route, ...] = (
    *_ROUTES,
    *_HELP_ROUTES,
    *(route for path, reason in OUT_OF_SCOPE.items() for route in _not_here(path, reason)),
)
