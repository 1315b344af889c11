"""``stage_debug`` and ``symbolicate_dump``: debug symbols, and stack traces made with them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import falcon

from staging_api.errors import Invalid, LimitExceeded
from staging_api.http.auth import client_of, origin
from staging_api.http.media import form, media_type
from staging_api.http.resources.devserver.answers import SUCCESS, say
from staging_api.http.resources.devserver.help import DevserverResource
from staging_api.http.resources.devserver.query import Query

_MAX_DUMP_BYTES = 64 << 20


class StageDebug(DevserverResource):
    """Stage the debug symbols of a build.

    Answers `Success` once they are staged.
    """

    usage = "stage_debug?archive_url=URL"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stage the symbols."""
        query = Query(req)
        staging_request = self.services.joining.check_request(
            query.archive_url, ["symbols"], query.upload_wait_seconds
        )
        self.services.joining.stage(staging_request, origin(req))
        say(resp, SUCCESS)


class SymbolicateDump(DevserverResource):
    """The stack trace of a crash.

    With archive_url, the symbols of that build are staged first; without it, the symbols of all
    builds whose symbols are staged are searched.
    """

    takes_files = True
    usage = "symbolicate_dump[?archive_url=URL], POST, multipart/form-data with a field minidump"

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Symbolicate a minidump."""
        if self.services.symbolication is None:
            resp.status = falcon.HTTP_501
            say(resp, "no program for stack traces is installed here: see STAGING_STACKWALK")
            return
        query, staging_request = Query(req), None
        archive_url = query.get("archive_url")
        if archive_url is not None:
            staging_request = self.services.joining.check_request(
                archive_url, ["symbols"], query.upload_wait_seconds
            )
            self.services.joining.stage(staging_request, origin(req))
        # The program occupies a processor, so its runs are limited like stagings.
        with (
            self.services.joining.slot(client_of(req)),
            tempfile.TemporaryDirectory(prefix="minidump-") as folder,
        ):
            dump = Path(folder, "minidump")
            _save(req, dump)
            if staging_request is None:
                stack = self.services.symbolication.of_any_build(dump)
            else:
                stack = self.services.symbolication.of_build(dump, staging_request.archive_url)
        say(resp, stack)


def _save(req: falcon.Request, dump: Path) -> None:
    """Copy the field ``minidump`` to the disk in chunks."""
    if media_type(req) != falcon.MEDIA_MULTIPART:
        raise Invalid.field("minidump", "must be sent as multipart/form-data")
    for part in form(req):
        if part.name == "minidump":
            _copy(part.chunks, dump)
    if not dump.exists():
        raise Invalid.field("minidump", "must be a field of the form")


def _copy(chunks: Iterator[bytes], dump: Path) -> None:
    size = 0
    with dump.open("wb") as file:
        for chunk in chunks:
            # The limit applies to the dump; a form may have other fields, none of which is written.
            size += len(chunk)
            if size > _MAX_DUMP_BYTES:
                raise LimitExceeded(f"a minidump may have {_MAX_DUMP_BYTES} bytes")
            file.write(chunk)
