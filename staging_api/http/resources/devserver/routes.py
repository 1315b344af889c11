"""Routes of the devserver, at the root as its clients expect them; errors are lines of text."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from staging_api.http.described import operation, parameter, text, texts
from staging_api.http.permissions import ANYBODY, CONTENT, STAGERS
from staging_api.http.resources.devserver.answers import text_error, word_error
from staging_api.http.resources.devserver.builds import LatestBuild
from staging_api.http.resources.devserver.controlfiles import (
    DevserverControlFiles,
    ListSuiteControls,
)
from staging_api.http.resources.devserver.fileinfo import FileInfo
from staging_api.http.resources.devserver.gs_cache_routes import gs_cache_routes
from staging_api.http.resources.devserver.health import CheckHealth
from staging_api.http.resources.devserver.help import (
    OUT_OF_SCOPE,
    DocumentedResource,
    Index,
    OutOfScope,
    PathHelp,
    StaticHelp,
)
from staging_api.http.resources.devserver.images import ListImageDir, LocateFile, StageImages
from staging_api.http.resources.devserver.rows import (
    REFUSED,
    TAG,
    WAIT,
    json_of,
    row,
    text_row,
    word_row,
)
from staging_api.http.resources.devserver.staging import (
    DevserverDownload,
    IsStaged,
    Stage,
    WaitForStatus,
)
from staging_api.http.resources.devserver.symbols import StageDebug, SymbolicateDump
from staging_api.http.route import Route

_ARCHIVE = parameter("archive_url", "the build", required=True)
_ARTIFACTS = parameter("artifacts", "names or groups of the catalogue, with commas")
_FILES = parameter("files", "objects of the archive, staged as they are, with commas")
_BUILD = parameter("build", "TARGET/BUILD", required=True)
_SUITE = parameter("suite_name", "of one suite of tests only")
_FLAG = {"type": "string", "enum": ["True", "False"]}

_STAGING = [_ARCHIVE, WAIT]

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


_ROUTES = (
    word_row("/download", DevserverDownload, STAGERS, "Stage a build", *_STAGING),
    word_row("/wait_for_status", WaitForStatus, CONTENT, "Wait for all of a build", _ARCHIVE),
    word_row(
        "/stage",
        Stage,
        STAGERS,
        "Stage artifacts by name, and objects as they are",
        *(*_STAGING, _ARTIFACTS, _FILES),
        parameter("async", "`True`: answer at once", schema=_FLAG),
        parameter("clean", "`True`: stage again what is there", schema=_FLAG),
    ),
    text_row(
        "/is_staged",
        IsStaged,
        CONTENT,
        "Whether all of it is staged",
        text("`True`, `False`, or `Service Unavailable`"),
        *(_ARCHIVE, _ARTIFACTS, _FILES),
        errors=word_error,
    ),
    word_row(
        "/stage_images",
        StageImages,
        STAGERS,
        "Stage disk images",
        *_STAGING,
        parameter("image_types", "test, base, recovery", required=True),
    ),
    text_row(
        "/list_image_dir",
        ListImageDir,
        CONTENT,
        "List what is staged of a build",
        text("a line a file"),
        _ARCHIVE,
    ),
    text_row(
        "/locate_file",
        LocateFile,
        CONTENT,
        "Where a staged file of a build is",
        text("its path below the build's folder"),
        _ARCHIVE,
        parameter("file_name", "of the file", required=True),
    ),
    word_row("/stage_debug", StageDebug, STAGERS, "Stage debug symbols", *_STAGING),
    row(
        "/symbolicate_dump",
        SymbolicateDump,
        STAGERS,
        {
            "post": {
                **operation(
                    "symbolicate_dump",
                    "The stack trace of a crash",
                    TAG,
                    {**REFUSED, **texts(501), "200": text("the stack trace")},
                    [{**_ARCHIVE, "required": False}, WAIT],
                ),
                "requestBody": _DUMP,
            }
        },
    ),
    text_row(
        "/latestbuild",
        LatestBuild,
        CONTENT,
        "The newest build of a target that is staged",
        text("its name; how to ask, if nothing was asked for"),
        parameter("target", "such as x86-generic-release"),
        parameter("milestone", "as R17"),
    ),
    text_row(
        "/controlfiles",
        DevserverControlFiles,
        CONTENT,
        "The control files of a build, or the text of one",
        text("a path a line, or the text; how to ask, if nothing was asked for"),
        *({**_BUILD, "required": False}, _SUITE, parameter("control_path", "of one of them")),
    ),
    text_row(
        "/list_suite_controls",
        ListSuiteControls,
        CONTENT,
        "Control files with their texts",
        json_of("text by path"),
        *(_BUILD, _SUITE),
    ),
    text_row("/check_health", CheckHealth, ANYBODY, "The load of this server", json_of("by name")),
    text_row(
        "/api/fileinfo/{path:path}",
        FileInfo,
        CONTENT,
        "Size and sha256 of a staged file",
        json_of("`size`, and `sha256` in base64"),
        parameter("path", "below /static", "path"),
        refused=[404],
    ),
    *(route for prefix in ("", "/gscache") for route in gs_cache_routes(prefix)),
)


def _help(routes: Iterable[Route]) -> Mapping[str, type[DocumentedResource]]:
    """Return the resources by the names under which ``doc`` explains them."""
    named: dict[str, type[DocumentedResource]] = {}
    for route in routes:
        if route.help is not None:
            name = f"{route.prefix}/BUCKET" if route.prefix in named else route.prefix
            named[name] = route.help
    return named


_HELP = {**_help(_ROUTES), "static": StaticHelp, "index": Index, "doc": PathHelp}
_HELP_ROUTES = (
    text_row(
        "/index",
        Index,
        ANYBODY,
        "Every path with its arguments",
        text("a line a path"),
        make=lambda _deps: Index(_HELP),
    ),
    text_row(
        "/doc/{name:path}",
        PathHelp,
        ANYBODY,
        "What a path is for",
        text("that"),
        parameter("name", "of a path", "path"),
        refused=[404],
        make=lambda _deps: PathHelp(_HELP),
    ),
)


def _not_here(path: str, reason: str) -> tuple[Route, Route]:
    """Return routes of a devserver path that this service lacks, and of all paths below it.

    They answer POST as well. The OpenAPI document leaves them out: no client should call them.
    """

    def route(template: str) -> Route:
        methods = {"GET": ANYBODY, "POST": ANYBODY}
        return Route(template, methods, lambda _deps: OutOfScope(reason), errors=text_error)

    return route(f"/{path}"), route(f"/{path}/{{rest:path}}")


def _also(path: str, route: Route) -> Route:
    """Return the same route at another path, which the OpenAPI document leaves out."""
    return replace(route, path=path, contract={}, help=None)


DEVSERVER_ROUTES: tuple[Route, ...] = (
    *_ROUTES,
    *_HELP_ROUTES,
    # The devserver accepted a slash at the end of a path, and ignored it.
    *(_also(f"{each.path}/", each) for each in (*_ROUTES, *_HELP_ROUTES) if "{" not in each.path),
    _also("/doc", _HELP_ROUTES[1]),
    *(route for path, reason in OUT_OF_SCOPE.items() for route in _not_here(path, reason)),
)
