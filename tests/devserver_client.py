"""Replicas of the devserver's original clients: their requests, comparisons and retries.

Written from what is known of autotest's ``client/common_lib/cros/dev_server.py``: its form of 2012,
which downloads and then waits in one request each, and the one since 2013, which stages in the
background and polls. Only the pauses are shorter here, by the factor `PACE`.
"""

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from secrets import token_hex
from typing import Any

SUCCESS = "Success"
#: Duration of one second of the originals' pauses and timeouts, in seconds.
PACE = 0.02
_REFUSED_PAUSE, _POLL_PAUSE, _DOWN_PAUSE, _OVERLOAD_PAUSE = 3.0, 5.0, 5.0, 30.0
_DOWN_PATIENCE = 60.0
_PATIENCE = 100 * 60.0
_DOWN, _OVERLOADED, _FAILED = "Service Unavailable", "Proxy Error", "DownloaderException"
_FOR_IMAGE = ("full_payload", "test_suites", "stateful")
_WITH_AUTOTEST = (*_FOR_IMAGE, "control_files", "autotest_packages")


class DevServerError(Exception):
    """The error that the original raises: final, whatever the status was."""


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.data = ""

    def handle_data(self, data: str) -> None:
        self.data += data


def stripped(markup: bytes) -> str:
    """Return the text of an error page; UTF-32 is tried first, as in the original."""
    text = _Text()
    try:
        text.feed(markup.decode("utf-32"))
    except UnicodeDecodeError:
        text.feed(markup.decode())
    return text.data


class DevServer:
    """Common part of both clients: the URL of a call, and the errors that are final."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, **given: object) -> bytes:
        """Send one request with unencoded values, in any order; return the body of a 200.

        Raises:
            DevServerError: any other status.
        """
        pairs = [f"{name.rstrip('_')}={value}" for name, value in given.items()]
        random.shuffle(pairs)
        return self.send(f"{self.url}/{method}?{'&'.join(pairs)}")

    def send(self, request: str | urllib.request.Request) -> bytes:
        """Send a request, and retry while no server listens: that is not a response."""
        deadline = time.monotonic() + _PATIENCE * PACE
        while True:
            try:
                with urllib.request.urlopen(request) as answer:
                    body: bytes = answer.read()
                    return body
            except urllib.error.HTTPError as error:
                raise DevServerError(stripped(error.read())) from None
            except urllib.error.URLError as error:
                if time.monotonic() > deadline:
                    raise DevServerError(str(error)) from None
                time.sleep(_REFUSED_PAUSE * random.uniform(0.5, 1.5) * PACE)

    def symbolicate(self, dump: bytes, query: str = "") -> str:
        """Return the stack of a crash; the request is a POST of a form with one field."""
        boundary = token_hex(16)
        head = (
            f"--{boundary}\r\nContent-Disposition: form-data;"
            ' name="minidump"; filename="crash.dmp"\r\n\r\n'
        )
        body = head.encode() + dump + f"\r\n--{boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        request = urllib.request.Request(f"{self.url}/symbolicate_dump{query}", body, kind)
        return self.send(request).decode()

    def latest_build(self, target: str, milestone: str = "") -> str:
        """Return the newest build of a target."""
        return self.call("latestbuild", target=target, milestone=milestone).decode().strip()

    def list_control_files(self, build: str) -> list[str]:
        """List all control files of the build."""
        found = self.call("controlfiles", build=build, suite_name="")
        return [line.rstrip().decode() for line in found.splitlines(keepends=True)]

    def control_file(self, build: str, path: str) -> bytes:
        """Return the text of one control file."""
        return self.call("controlfiles", build=build, control_path=path)

    def staged_file(self, build: str, path: str) -> bytes:
        """Return the content of a staged file."""
        return self.send(f"{self.url}/static/{build}/{path}")


class DevServer2012(DevServer):
    """Client of 2012: downloads a build in one request, and waits for the rest in another."""

    def healthy(self) -> bool:
        """Return whether the server responds at all."""
        return bool(self.call("index"))

    def trigger_download(self, archive_url: str, *, synchronous: bool = True) -> None:
        """Stage a build; if `synchronous`, wait until it is complete."""
        self._must_succeed("download", archive_url=archive_url)
        if synchronous:
            self.finish_download(archive_url)

    def finish_download(self, archive_url: str) -> None:
        """Wait for the artifacts that are staged in the background."""
        self._must_succeed("wait_for_status", archive_url=archive_url)

    def stage_symbols(self, archive_url: str) -> None:
        """Stage the debug symbols of a build."""
        self._must_succeed("stage_debug", archive_url=archive_url)

    def stage_images(self, archive_url: str, *types: str) -> None:
        """Stage disk images."""
        self._must_succeed("stage_images", archive_url=archive_url, image_types=",".join(types))

    def _must_succeed(self, method: str, **given: object) -> None:
        body = self.call(method, **given)
        if body != SUCCESS.encode():
            raise DevServerError(f"{method}: HTTP OK not accompanied by 'Success': {body!r}")


class DevServer2013(DevServer):
    """Client since 2013: stages in the background, and polls until everything is staged."""

    def load(self) -> Mapping[str, Any]:
        """Return the server's report about itself."""
        found: Mapping[str, Any] = json.loads(self._patient("check_health"))
        return found

    def healthy(self, least_disk_gigabytes: float = 20) -> bool:
        """Return whether the server is healthy enough to stage a build."""
        load = self.load()
        if load.get("apache_client_count", 0) > 75:
            return False
        return bool(load["free_disk"] >= least_disk_gigabytes)

    def trigger_download(self, archive_url: str, *, synchronous: bool = True) -> None:
        """Stage the artifacts for a device; if `synchronous`, also those for its tests."""
        self.stage(archive_url, _FOR_IMAGE)
        if synchronous:
            self.stage(archive_url, _WITH_AUTOTEST)

    def stage(
        self, archive_url: str, artifacts: Sequence[str] = (), files: Sequence[str] = ()
    ) -> None:
        """Stage artifacts and files, and return when all are staged."""
        what = {
            "archive_url": archive_url,
            "artifacts": ",".join(artifacts),
            "files": ",".join(files),
        }
        deadline = time.monotonic() + _PATIENCE * PACE
        while True:
            body = self._patient("stage", async_=True, clean=False, **what)
            if _OVERLOADED not in body:
                break
            if time.monotonic() > deadline:
                raise DevServerError("overloaded")
            time.sleep(_OVERLOAD_PAUSE * PACE)
        if body != SUCCESS:
            raise DevServerError(f"stage: HTTP OK not accompanied by 'Success': {body!r}")
        _poll(lambda: self._patient("is_staged", **what) == "True", _PATIENCE, _POLL_PAUSE)

    def _patient(self, method: str, **given: object) -> str:
        """Repeat a call for up to a minute while the response says that the service is down."""
        found: list[str] = []

        def answered() -> bool:
            body = self.call(method, **given).decode()
            if _DOWN in body:
                return False
            found.append(body)
            return True

        try:
            _poll(answered, _DOWN_PATIENCE, _DOWN_PAUSE)
        except TimeoutError:
            return _DOWN
        return found[0]


class DevServerOverSsh(DevServer2013):
    """The 2013 client through ``ssh host curl``: sees the body of a response, but no status."""

    def send(self, request: str | urllib.request.Request) -> bytes:
        try:
            with urllib.request.urlopen(request) as answer:
                body: bytes = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        if _FAILED.encode() in body:
            raise DevServerError(stripped(body))
        return body


def _poll(condition: Callable[[], bool], patience: float, pause: float) -> None:
    deadline = time.monotonic() + patience * PACE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(pause * PACE)
