"""Control files of a build, which describe its tests."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from staging_api.errors import ArchiveCorrupt, LimitExceeded, NotFound
from staging_api.staging.damage import losses_noticed
from staging_api.staging.model import ServedFile
from staging_api.staging.repository import folder_rows, found_files, reading
from staging_api.staging.repository.found_files import FoundFile
from staging_api.staging.upkeep import Upkeep
from staging_api.store.places import open_at

_FOLDER = "autotest/"
_SUITES = "test_suites/suite_to_control_file_map"
_CONTROL_FILE = re.compile(r"(.*/)?control(\.[^/]*)?")
#: A control file is a page of text, and a map of suites some hundred pages: longer files are
#: refused.
_MAX_BYTES = 8 << 20
_MAX_TEXTS_BYTES = 64 << 20
_MOST_FILES = 200_000


@dataclass(frozen=True)
class ControlFiles:
    """Finds control files by the tables, and reads them from the store.

    Every method raises `NotFound` if no tests of the build are staged, or the store has lost them.
    """

    upkeep: Upkeep

    def paths(self, build: str, suite: str | None) -> list[str]:
        """Return the control files of a build, or of one suite, as paths below ``autotest``."""
        return list(self._controls(build, suite))

    def text(self, build: str, path: str) -> bytes:
        """Return one control file.

        Raises:
            LimitExceeded: the file is longer than any control file.
        """
        with self.upkeep.database.connect() as conn:
            found = reading.served_file(conn, f"{build}/{_FOLDER}{path}")
        if found is None:
            raise NotFound(f"{build} has no control file {path}")
        return self._read(found)

    def texts(self, build: str, suite: str | None) -> Mapping[str, str]:
        """Return the control files of a build, or of one suite, with their texts.

        Raises:
            LimitExceeded: a file is longer than any control file, or all together exceed the limit
                of a response.
        """
        return self._texts(self._controls(build, suite))

    def below(self, folder: str, fits: Callable[[str], bool]) -> Mapping[str, str]:
        """Return the texts of the staged files of a folder for whose paths `fits` returns True.

        Raises:
            LimitExceeded: together they exceed the limit of a response.
        """
        with self.upkeep.database.connect() as conn:
            found = folder_rows.served_below(conn, folder, _MOST_FILES)
        chosen = {path: f for f in found if fits(path := f.path.removeprefix(folder))}
        return self._texts(chosen)

    def locate(self, build: str, name: str) -> str:
        """Return the path, below a build's folder, of the staged file with this name.

        Of several files, the one with the shortest chain of folders, as the devserver searched from
        the top.

        Raises:
            NotFound: no staged file of the build has this name.
        """
        with self.upkeep.database.connect() as conn:
            found = folder_rows.served_below(conn, f"{build}/", _MOST_FILES)
        fitting = [file.path for file in found if file.path.rpartition("/")[2] == name]
        if not fitting:
            raise NotFound(f"no staged file of {build} is named {name}")
        return min(fitting, key=lambda path: (path.count("/"), path)).removeprefix(f"{build}/")

    def _controls(self, build: str, suite: str | None) -> Mapping[str, FoundFile]:
        with self.upkeep.database.connect() as conn:
            found = found_files.files_below(conn, build, _FOLDER)
        tests = {file.path.removeprefix(f"{build}/{_FOLDER}"): file for file in found}
        if not tests:
            raise NotFound(f"no tests of {build} are staged")
        if suite is not None and _SUITES in tests:
            named = suite_paths(self._read(tests[_SUITES]), suite)
            return {path: tests[path] for path in named if path in tests}
        return {path: file for path, file in tests.items() if _CONTROL_FILE.fullmatch(path)}

    def _texts(self, files: Mapping[str, FoundFile] | Mapping[str, ServedFile]) -> dict[str, str]:
        # A build may have any number of control files, and the response is built in memory.
        size = sum(file.size_bytes for file in files.values())
        if size > _MAX_TEXTS_BYTES:
            raise LimitExceeded(
                f"these files have {size} bytes, which are more than {_MAX_TEXTS_BYTES} bytes"
            )
        return {path: self._read(f).decode(errors="replace") for path, f in files.items()}

    def _read(self, file: FoundFile | ServedFile) -> bytes:
        place = file.place
        with losses_noticed(self.upkeep, place.sha256, place.blob_bytes):
            stream = open_at(self.upkeep.blobs, place)
        with stream:
            # One byte more shows that the file is longer.
            content = stream.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise LimitExceeded(f"has more than {_MAX_BYTES} bytes, which no control file has")
        return content


def suite_paths(suites: bytes, suite: str) -> list[str]:
    """Return the control files of a suite, as a build's map of suites lists them.

    Raises:
        ArchiveCorrupt: the file is not a map from suites to lists of paths.
    """
    # The file comes with the build, and may have any content.
    try:
        named = json.loads(suites).get(suite, [])
        return [str(path) for path in list(named)]
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise ArchiveCorrupt(f"{_SUITES} is no map from suites to lists of paths") from None
