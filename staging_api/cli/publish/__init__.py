"""``staging-api publish``: fill APT archives, publish them, and copy them to a folder."""

from collections.abc import Callable, Mapping
from typing import Any

from staging_api.cli.exits import EXIT_CODES
from staging_api.cli.options import verb_group
from staging_api.cli.publish import generations, operations, packages

ACTIONS: Mapping[str, Callable[..., Any]] = {
    "create": packages.create,
    "upload": packages.upload,
    "process-accepted": operations.process_accepted,
    "publish-distro": operations.publish_distro,
    "publish-ftpmaster": operations.publish_ftpmaster,
    "list": operations.runs,
    "packages": packages.listing,
    "remove": packages.remove,
    "generations": generations.listing,
    "back": generations.back,
    "hold": generations.hold,
    "lift": generations.lift,
    "export": generations.export,
}

publish = verb_group("Fill APT archives, publish them, and copy them to a folder.")
for _name, _action in ACTIONS.items():
    publish.command(_name, epilog=EXIT_CODES)(_action)
