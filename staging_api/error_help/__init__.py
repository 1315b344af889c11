"""Cause and remedy of each error code: the table behind every page of errors.

The reference page, the pages that the service shows at ``/errors`` and the tests use this table.
"""

from collections.abc import Mapping

from staging_api.error_help.answers import OF_ANSWERS, OF_HTTP, ErrorHelp
from staging_api.error_help.clients import OF_CLIENTS

ERROR_HELP: Mapping[str, ErrorHelp] = {**OF_ANSWERS, **OF_HTTP, **OF_CLIENTS}
