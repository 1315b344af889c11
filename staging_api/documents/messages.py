"""Messages about documents in the format of configdocs clients, and verdicts made of them.

A message is a mapping: ``kind`` ValidationMessage, ``message``, ``error`` (bool), ``name``,
``documents`` (schema and name of each), ``level`` (Error, Warning, Info), ``diagnostic``,
``source``. No message quotes the data of a document.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from staging_api.documents.model import Finding, Identity, Level

Message = Mapping[str, Any]

_FIELDS = ("message", "error", "name", "documents", "level", "diagnostic", "source")
_SOURCE = "staging_api"
_LEVELS = {level.lower(): level.value for level in Level}


@dataclass(frozen=True)
class Verdict:
    """All messages about documents."""

    messages: tuple[Message, ...] = ()

    @property
    def errors(self) -> int:
        """Number of messages that are errors."""
        return sum(bool(each["error"]) for each in self.messages)

    def adding(self, more: Iterable[Message]) -> "Verdict":
        """Return a verdict with more messages appended."""
        return Verdict((*self.messages, *more))


def of_finding(
    finding: Finding, level: Level | None = None, *, collection: str | None = None
) -> Message:
    """Convert a finding to a message.

    Args:
        finding: the finding to convert.
        level: replaces the level of the finding.
        collection: the collection that the finding's line refers to; None: the posted text.
    """
    diagnostic: dict[str, Any] = {**finding.diagnostic}
    if collection is not None:
        diagnostic["collection"] = collection
    for name in ("path", "line", "index"):
        value = getattr(finding, name)
        if value not in (None, ""):
            diagnostic[name] = value
    given = {
        "message": f"{finding.fault.value}: {finding.message}",
        "name": finding.fault.message_name,
        "documents": [_named(each) for each in finding.documents],
        "diagnostic": json.dumps(diagnostic, sort_keys=True) if diagnostic else None,
    }
    level = level or finding.level
    return validation_message(given, error=level is Level.ERROR, level=level.value, source=_SOURCE)


def validation_message(given: Mapping[str, Any], **defaults: Any) -> Message:
    """Build a complete message: the given fields first, then the defaults, then empty values."""
    made: dict[str, Any] = {"kind": "ValidationMessage"}
    for field in _FIELDS:
        value = given.get(field)
        made[field] = defaults.get(field) if value is None else value
    made["documents"] = made["documents"] or []
    made["error"] = bool(made["error"])
    made["level"] = made["level"] or (Level.ERROR if made["error"] else Level.INFO).value
    return made


def rule_message(level: str, text: str) -> Message:
    """Build the message of a rule whose level is a setting."""
    word = _LEVELS[level]
    return {
        "code": "",
        "message": text,
        "status": word,
        "level": level,
        "error": word == Level.ERROR.value,
    }


def _named(document: Identity) -> dict[str, str]:
    layer = {"layer": document.layer} if document.layer else {}
    return {"schema": document.schema, "name": document.name, **layer}
