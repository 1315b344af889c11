"""Use cases behind the paths of the devserver."""

from dataclasses import dataclass

from staging_api.devserver.builds import Builds
from staging_api.devserver.control_files import ControlFiles
from staging_api.devserver.health import ServerHealth
from staging_api.devserver.joining import Joining
from staging_api.devserver.symbolication import Symbolication
from staging_api.staging.files import StagedFiles


@dataclass(frozen=True)
class DevserverServices:
    """The use cases; `symbolication` is None if its program is missing."""

    joining: Joining
    builds: Builds
    controls: ControlFiles
    health: ServerHealth
    files: StagedFiles
    symbolication: Symbolication | None
