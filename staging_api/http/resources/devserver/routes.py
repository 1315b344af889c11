"""The route of every devserver path, at the root as its clients have it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import falcon

from staging_api.devserver.builds import Builds
from staging_api.devserver.control_files import ControlFiles as Controls
from staging_api.devserver.health import ServerHealth
from staging_api.devserver.joining import Joining
from staging_api.devserver.symbolication import Symbolication
from staging_api.http.problems import ErrorForm
from staging_api.http.resources.devserver.answers import text_error, word_error
from staging_api.http.resources.devserver.builds import LatestBuild
from staging_api.http.resources.devserver.controlfiles import ControlFiles, ListSuiteControls
from staging_api.http.resources.devserver.fileinfo import FileInfo
from staging_api.http.resources.devserver.gs_cache import FromArchive, FromBucket
from staging_api.http.resources.devserver.health import CheckHealth
from staging_api.http.resources.devserver.help import (
    OUT_OF_SCOPE,
    Described,
    Doc,
    Index,
    OutOfScope,
)
from staging_api.http.resources.devserver.images import ListImageDir, StageImages
from staging_api.http.resources.devserver.staging import Download, IsStaged, Stage, WaitForStatus
from staging_api.http.resources.devserver.symbols import StageDebug, SymbolicateDump
from staging_api.http.resources.static import StaticFiles
from staging_api.staging.files import StagedFiles

_WORDS = ("download", "wait_for_status", "stage", "is_staged", "stage_images", "stage_debug")
_TEXTS = (
    *("symbolicate_dump", "latestbuild", "controlfiles", "list_suite_controls", "list_image_dir"),
    *("check_health", "api/fileinfo", "index", "doc", "download/", "extract"),
    *OUT_OF_SCOPE,
)
#: How an error is told on each path, whoever raises it.
ERROR_FORMS: Mapping[str, ErrorForm] = {
    **dict.fromkeys(_TEXTS, text_error),
    **dict.fromkeys(_WORDS, word_error),
}


@dataclass(frozen=True)
class DevserverDependencies:
    """The use cases behind the paths; `symbolication` is None where its program is missing."""

    joining: Joining
    builds: Builds
    controls: Controls
    health: ServerHealth
    files: StagedFiles
    symbolication: Symbolication | None


def add_devserver(
    app: falcon.App[Any, Any], parts: DevserverDependencies, static: StaticFiles
) -> None:
    """Add every path, and a reason for each that there is not."""
    joining, builds = parts.joining, parts.builds
    resources: dict[str, Described] = {
        "download": Download(joining),
        "wait_for_status": WaitForStatus(joining, builds),
        "stage": Stage(joining, builds),
        "is_staged": IsStaged(joining, builds),
        "stage_images": StageImages(joining),
        "list_image_dir": ListImageDir(builds),
        "stage_debug": StageDebug(joining),
        "symbolicate_dump": SymbolicateDump(joining, parts.symbolication),
        "latestbuild": LatestBuild(builds),
        "controlfiles": ControlFiles(parts.controls),
        "list_suite_controls": ListSuiteControls(parts.controls),
        "check_health": CheckHealth(parts.health),
        "api/fileinfo": FileInfo(parts.files),
    }
    for path, resource in resources.items():
        app.add_route(f"/{path}/{{path:path}}" if path == "api/fileinfo" else f"/{path}", resource)
    through: dict[str, Described] = {
        "download/BUCKET": FromBucket(joining, builds, static),
        "extract": FromArchive(joining, builds, static),
    }
    for path, resource in through.items():
        app.add_route(f"/{path.split('/')[0]}/{{bucket}}/{{path:path}}", resource)
    app.add_route("/index", Index({**resources, **through}))
    app.add_route("/doc/{name:path}", Doc({**resources, **through}))
    for path, reason in OUT_OF_SCOPE.items():
        app.add_route(f"/{path}", OutOfScope(reason))
        app.add_route(f"/{path}/{{rest:path}}", OutOfScope(reason))
