"""Find environment variables that look like misspelt settings."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from staging_api.errors import FieldError

log = logging.getLogger(__name__)

# Used by the client's verbs, by tests, and for hooks.
_OTHERS = re.compile("SERVER|TOKEN|TEST_.*|ARCHIVE|SUITES|PUBLICATION|GENERATION")
# Kubernetes sets variables for each Service in every pod, and a Service may be named staging.
_SERVICE_LINK = re.compile(
    r"(.*_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
# Their ..._PORT is a URL. A number there is an operator's guess of how the port is set.
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://.*")
# What other programs call it.
_MEANT = {"PORT": "BIND", "LISTEN": "BIND"}
# Similarity from 0 to 1: two swapped letters, or one missing, are above; another word is below.
_LIKENESS = 0.7


def misspelt(
    environment: Mapping[str, str], prefix: str, settings: Iterable[str]
) -> Iterator[FieldError]:
    """Yield variables that look like misspelt settings; log other unknown ones of the prefix.

    The others are not refused: another version, run before this one or beside it, may have them.
    """
    known = [name.upper() for name in settings]
    for variable, value in environment.items():
        name = variable.upper().removeprefix(prefix)
        if name == variable.upper() or name in known:
            continue
        if _OTHERS.fullmatch(name) or _SERVICE_LINK.fullmatch(name):
            continue
        if name.endswith("PORT") and _SERVICE_URL.fullmatch(value):
            continue
        if likely := get_close_matches(_MEANT.get(name, name), known, 1, _LIKENESS):
            yield FieldError(variable, f"is not a setting; did you mean {prefix}{likely[0]}?")
        else:
            log.warning("%s is not a setting of this version, and is ignored", variable)
