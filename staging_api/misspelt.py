"""Find environment variables that look like misspelt settings."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from staging_api.errors import FieldError

log = logging.getLogger(__name__)

# Variables of the client's verbs, of tests, and for hooks.
_OTHERS = re.compile("SERVER|TOKEN|TEST_.*|ARCHIVE|SUITES|PUBLICATION|GENERATION")
# Kubernetes sets variables for each Service in every pod, and a Service may be named staging.
_SERVICE_LINK = re.compile(
    r"(.*_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
# Kubernetes sets ..._PORT to a URL. A number is an operator's guess of the setting's name.
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://.*")
# Names that other programs use for a setting.
_MEANT = {"PORT": "BIND", "LISTEN": "BIND"}
# Similarity from 0 to 1: two swapped letters, or a missing letter, are above; other words are
# below.
_LIKENESS = 0.7


def misspelt(
    environment: Mapping[str, str], prefix: str, settings: Iterable[str]
) -> Iterator[FieldError]:
    """Yield variables that look like misspelt settings; log other unknown ones with the prefix.

    The others are not refused: another version, run before or beside this one, may use them.
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
