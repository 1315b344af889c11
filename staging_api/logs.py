"""Log lines: for people on a console, or one JSON object each; with ids, without secrets.

Each request writes a line, so JSON lines bypass structlog's chain, which formats those for people:
it took half the time of a light request. The whole line is searched for secrets once; only a line
that may hold one is redacted field by field.
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

#: In every line; null where a request has none. ``trace_id`` comes with the traces.
IDS = ("request_id", "reference_id", "lock_id", "staging_id")

# structlog would show the values of variables, which may be secrets.
_TRACEBACK = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

_HIDDEN = "***"
_SECRETS = (
    # user:password@ of any URL, the database's included.
    (re.compile(r"(\w://)[^/\s@]+@"), rf"\1{_HIDDEN}@"),
    # The query of a URL: buckets put their signatures there.
    (re.compile(r"(\w://[^\s?\"']+\?)[^\s\"']+"), rf"\1{_HIDDEN}"),
    (re.compile(r"\b(Bearer|Basic) +[\w.~+/=-]+", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (re.compile(r"\bstg_[\w-]{20,}"), _HIDDEN),
    # A signed token: three parts, the first of which is base64 of '{"'.
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), _HIDDEN),
    (
        re.compile(
            r"\b(password|passwd|secret|token)(['\"]?\s*[=:]\s*['\"]?)[^\s,;&'\"]+", re.IGNORECASE
        ),
        rf"\1\2{_HIDDEN}",
    ),
)

# Each secret contains one of these, in lower case; none has a character that JSON would escape.
# Searching them one by one takes a tenth of the time of one pattern for all.
_SIGNS = ("://", "bearer", "basic", "stg_", "eyj", "passw", "secret", "token")

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
    # No line shows the calling function; finding it takes as long as the rest of a record.
    logging._srcfile = None  # noqa: SLF001 - documented by the standard library


class JsonLines(logging.Formatter):
    """One JSON object a line, for our loggers and the libraries'."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with every id and without secrets."""
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
        return _to_json(_without_secrets(line)) if _may_hold_secret(text) else text


def bind_log_context(**ids: str | None) -> None:
    """Add these ids to every further line of this request or piece of work."""
    _context.set({**_context.get(), **ids})


def clear_log_context() -> None:
    """Drop the ids at the end of a request or piece of work."""
    _context.set({})


def redact(text: str) -> str:
    """Replace everything that looks like a secret."""
    if not _may_hold_secret(text):
        return text
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _may_hold_secret(text: str) -> bool:
    small = text.lower()
    return any(sign in small for sign in _SIGNS)


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
