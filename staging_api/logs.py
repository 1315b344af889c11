"""Log lines: for people on a console, or one JSON object each; with ids, without secrets.

Each request writes a line, so the JSON one is made in one go: structlog's chain, which makes those
for people, took half of the time of a light request. It is looked at once for what may be a secret,
as a whole, and only one that has such a thing is gone through text by text.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor

#: In every line; null where there is no such thing. ``trace_id`` comes with the traces.
IDS = ("request_id", "reference_id", "lock_id", "staging_id")

# Without the values of variables, which structlog shows unless told not to: they may be secrets.
_TRACEBACK = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

_HIDDEN = "***"
_SECRETS = (
    # user:password@ of any URL, that of the database included.
    (re.compile(r"(\w://)[^/\s@]+@"), rf"\1{_HIDDEN}@"),
    # The query of a URL: that is where buckets put their signatures.
    (re.compile(r"(\w://[^\s?\"']+\?)[^\s\"']+"), rf"\1{_HIDDEN}"),
    (re.compile(r"\b(Bearer|Basic) +[\w.~+/=-]+", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (re.compile(r"\bstg_[\w-]{20,}"), _HIDDEN),
    # A signed token: three parts, of which the first is base64 of '{"'.
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), _HIDDEN),
    (
        re.compile(
            r"\b(password|passwd|secret|token)(['\"]?\s*[=:]\s*['\"]?)[^\s,;&'\"]+", re.IGNORECASE
        ),
        rf"\1\2{_HIDDEN}",
    ),
)

# What each of these has somewhere, in small letters; none has anything that JSON would escape.
# Looked for one by one, as that takes a tenth of the time of one pattern for all.
_TELLTALES = ("://", "bearer", "basic", "stg_", "eyj", "passw", "secret", "token")

_NO_IDS = dict.fromkeys(IDS)
_to_json = json.JSONEncoder(default=repr).encode

_context: ContextVar[Mapping[str, str | None]] = ContextVar(
    "log_context", default=MappingProxyType({})
)


def configure(form: Literal["console", "json"]) -> None:
    """Send every logger's lines to standard error in one form, with the request's ids in each."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else _for_people())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Who called the logger is in no line; finding out takes as long as the rest of a record.
    logging._srcfile = None  # noqa: SLF001 - so the standard library's own documentation


class JsonLines(logging.Formatter):
    """One object a line, ours and the libraries' alike."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with every id and without a secret."""
        line: EventDict = {
            **_NO_IDS,
            **_context.get(),
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": _moment(record.created),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = _TRACEBACK(record.exc_info)
        text = _to_json(line)
        return _to_json(_without_secrets(line)) if _may_tell(text) else text


def bind_log_context(**ids: str | None) -> None:
    """Put these ids into every further line of this request, or of this piece of work."""
    _context.set({**_context.get(), **ids})


def clear_log_context() -> None:
    """The request, or the piece of work, is done: the next line is about something else."""
    _context.set({})


def redact(text: str) -> str:
    """Hide what looks like a secret."""
    if not _may_tell(text):
        return text
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _may_tell(text: str) -> bool:
    small = text.lower()
    return any(telltale in small for telltale in _TELLTALES)


def _moment(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _for_people() -> logging.Formatter:
    before: list[Processor] = [
        _with_ids,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.ExceptionRenderer(),
        _redacted,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=last)


def _with_ids(_logger: Any, _method: str, line: EventDict) -> EventDict:
    return {**_context.get(), **line}


def _redacted(_logger: Any, _method: str, line: EventDict) -> EventDict:
    return {name: _without_secrets(value) for name, value in line.items()}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _without_secrets(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(one) for one in value]
    return value
