"""``controlfiles`` and ``list_suite_controls``: which tests a build has, and what they say."""

import json
import re
from collections.abc import Mapping
from functools import partial

import falcon
from sqlalchemy import Connection

from staging_api.errors import LimitExceeded, NotFound
from staging_api.http.resources.devserver.answers import say
from staging_api.http.resources.devserver.help import help_of
from staging_api.http.resources.devserver.query import Query
from staging_api.staging import repository
from staging_api.staging.damage import losses_noticed
from staging_api.staging.model import ServedFile
from staging_api.staging.repository import FoundFile
from staging_api.staging.service import StagingService
from staging_api.staging.upkeep import Upkeep

_FOLDER = "autotest/"
_SUITES = "test_suites/suite_to_control_file_map"
_CONTROL_FILE = re.compile(r"(.*/)?control(\.[^/]*)?")
#: A control file is a page of text, and a map of suites some hundred: more is not read for one.
_MAX_BYTES = 8 << 20


class ControlFiles:
    """The control files of a build, one path a line; or the text of the one at control_path.

    With suite_name those of one suite, if the build has a map of its suites.
    """

    usage = "controlfiles?build=TARGET/BUILD[&suite_name=bvt][&control_path=PATH]"

    def __init__(self, stagings: StagingService) -> None:
        """Take what the responder needs."""
        self._stagings = stagings

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List control files, or show one."""
        query = Query(req)
        if not query:
            say(resp, help_of(self))
            return
        build, path = query.required("build").strip("/"), query.get("control_path")
        with self._stagings.database.connect() as conn:
            if path is None:
                controls = _controls(conn, self._stagings.upkeep, build, query.get("suite_name"))
                say(resp, "\n".join(controls))
            else:
                say(resp, self._text(conn, build, path.lstrip("/")))

    def _text(self, conn: Connection, build: str, path: str) -> bytes:
        found = repository.served_file(conn, f"{build}/{_FOLDER}{path}")
        if found is None:
            raise NotFound(f"{build} has no control file {path}")
        return _read(self._stagings.upkeep, found)


class ListSuiteControls:
    """The control files of a build, or of one of its suites, as JSON: each path with its text."""

    usage = "list_suite_controls?build=TARGET/BUILD[&suite_name=bvt]"

    def __init__(self, stagings: StagingService) -> None:
        """Take what the responder needs."""
        self._stagings = stagings

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show them all."""
        query = Query(req)
        build, read = query.required("build").strip("/"), partial(_read, self._stagings.upkeep)
        with self._stagings.database.connect() as conn:
            controls = _controls(conn, self._stagings.upkeep, build, query.get("suite_name"))
        resp.media = {path: read(file).decode(errors="replace") for path, file in controls.items()}


def _controls(
    conn: Connection, upkeep: Upkeep, build: str, suite: str | None
) -> Mapping[str, FoundFile]:
    """Each control file by its path below ``autotest``.

    Raises:
        NotFound: nothing of the build's tests is staged.
    """
    found = repository.files_below(conn, build, _FOLDER)
    tests = {file.path.removeprefix(f"{build}/{_FOLDER}"): file for file in found}
    if not tests:
        raise NotFound(f"no tests of {build} are staged")
    if suite is not None and _SUITES in tests:
        named = json.loads(_read(upkeep, tests[_SUITES])).get(suite, [])
        return {path: tests[path] for path in named if path in tests}
    return {path: file for path, file in tests.items() if _CONTROL_FILE.fullmatch(path)}


def _read(upkeep: Upkeep, file: FoundFile | ServedFile) -> bytes:
    with losses_noticed(upkeep, file.sha256, file.size_bytes):
        stream = upkeep.blobs.open(file.sha256, file.size_bytes)
    with stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise LimitExceeded(f"has more than {_MAX_BYTES} bytes, which no control file has")
    return content
