"""Log lines, as text for people or as JSON objects; with ids, without secrets.

Each request writes a line, so the whole line is searched for secrets once; only a line that may
contain some is redacted field by field. The standard library's formatters are enough: structlog's
chain took half the time of a light request, and its import (of rich, of pygments) a tenth of a
start.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from traceback import walk_tb
from types import MappingProxyType, TracebackType
from typing import Any, Literal

from staging_api.log_writer import LineWriter

#: Ids in every line; null if a request has none. The traces add ``trace_id``.
IDS = ("request_id", "reference_id", "lock_id", "staging_id")

_HIDDEN = "***"
_SECRETS = (
    # user:password@ in any URL, including the database's.
    (re.compile(r"(\w://)[^/\s@]+@"), rf"\1{_HIDDEN}@"),
    # The query of a URL, where buckets put their signatures.
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
# Searching for them one by one takes a tenth of the time of one pattern for all.
_SIGNS = ("://", "bearer", "basic", "stg_", "eyj", "passw", "secret", "token")

# Largest number of frames shown of a traceback: half outermost, half innermost.
_MOST_FRAMES = 50

_LEVEL_COLOURS = {"DEBUG": 32, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 31}
_PLAIN_VALUE = re.compile(r"[^\s\"'=]+")

_NO_IDS = dict.fromkeys(IDS)
_to_json = json.JSONEncoder(default=repr).encode

_context: ContextVar[Mapping[str, str | None]] = ContextVar(
    "log_context", default=MappingProxyType({})
)


def configure(form: Literal["console", "json"]) -> None:
    """Send the lines of all loggers to standard error in one form, each with the request's ids."""
    handler = LineWriter(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Lines(coloured=sys.stderr.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Alembic logs three lines for each step of the schema, a hundred at the first start.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # No line shows the calling function; finding it takes as long as the rest of a record.
    logging._srcfile = None  # noqa: SLF001 - documented by the standard library


def write_together() -> None:
    """Write the lines of this process in batches from now on: see `log_writer`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineWriter):
            handler.start()


def flush() -> None:
    """Write the queued lines."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def say(log: logging.Logger, event: str) -> None:
    """Write a line of level INFO like ``log.info(event)``, but cheaper, for use in each request.

    If only JSON lines are written, no record is created for other handlers and filters.
    """
    root = logging.getLogger()
    handler = root.handlers[0] if len(root.handlers) == 1 else None
    if (
        isinstance(handler, LineWriter)
        and isinstance(handler.formatter, JsonLines)
        and not (log.filters or handler.filters or handler.level)
        and _leads_to_root_alone(log)
    ):
        if log.isEnabledFor(logging.INFO):
            handler.add(_line(event, "info", log.name, time.time()))
    else:
        log.info("%s", event)


class JsonLines(logging.Formatter):
    """Formatter with one JSON object per line, for our loggers and those of libraries."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with every id and without secrets."""
        more: dict[str, object] = {}
        if record.exc_info and record.exc_info[1]:
            more["exception"] = _described(record.exc_info[1])
        level = record.levelname.lower()
        return _line(_event_of(record), level, record.name, record.created, **more)


class Lines(logging.Formatter):
    """Formatter of lines for people: time, level, message, logger, and the known ids."""

    def __init__(self, *, coloured: bool) -> None:
        """Colour the levels if standard error is a terminal with colours."""
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback of an error; without secrets."""
        ids = " ".join(
            f"{name}={value if _PLAIN_VALUE.fullmatch(value) else repr(value)}"
            for name, value in sorted(_context.get().items())
            if value is not None
        )
        moment, level = _moment(record.created), f"{record.levelname.lower():<9}"
        event = f"{_event_of(record):<30}"
        if self._coloured:
            moment, event = f"\033[2m{moment}\033[0m", f"\033[1m{event}\033[0m"
            level = f"\033[{_LEVEL_COLOURS.get(record.levelname, 0)}m{level}\033[0m"
        text = f"{moment} [{level}] {event} [{record.name}] {ids}".rstrip()
        if record.exc_info and record.exc_info[1]:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text)


def bind_log_context(**ids: str | None) -> None:
    """Add these ids to all further lines of this request or piece of work."""
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


def _leads_to_root_alone(log: logging.Logger) -> bool:
    """Return whether a logger's lines go to the handlers of the root only.

    There may be loggers in between: gunicorn creates one for each prefix of a logger's name.
    """
    while log.parent is not None:
        if log.handlers or not log.propagate:
            return False
        log = log.parent
    return True


def _line(event: str, level: str, logger: str, created: float, **more: object) -> str:
    line: dict[str, Any] = {
        **_NO_IDS,
        **_context.get(),
        "event": event,
        "level": level,
        "logger": logger,
        "timestamp": _moment(created),
        **more,
    }
    text = _to_json(line)
    return _to_json(_without_secrets(line)) if _may_hold_secret(text) else text


def _may_hold_secret(text: str) -> bool:
    small = text.lower()
    return any(sign in small for sign in _SIGNS)


def _event_of(record: logging.LogRecord) -> str:
    """Return the message; if its arguments do not fit its format, both unformatted.

    The standard library would print them outside a log line, secrets included.
    """
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - as for any text: the line is written
        return f"{_text_of(record.msg)} {record.args!r}"


def _moment(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _described(error: BaseException | None, seen: set[int] | None = None) -> list[dict[str, Any]]:
    """Return an exception and the exceptions that led to it, without the values of variables."""
    seen = set() if seen is None else seen
    found: list[dict[str, Any]] = []
    is_cause = False
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        found.append(
            {
                "exc_type": type(error).__name__,
                "exc_value": _text_of(error),
                "exc_notes": [_text_of(note) for note in getattr(error, "__notes__", ())],
                "syntax_error": _place_of(error) if isinstance(error, SyntaxError) else None,
                "is_cause": is_cause,
                "frames": _frames(error.__traceback__),
                "is_group": isinstance(error, BaseExceptionGroup),
                "exceptions": [_described(member, seen) for member in members],
            }
        )
        is_cause = error.__cause__ is not None
        hidden = error.__suppress_context__ and not is_cause
        error = error.__cause__ or (None if hidden else error.__context__)
    return found


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - whatever it is, the line is written
        return f"<str-error {type(error).__name__}>"


def _place_of(error: SyntaxError) -> dict[str, Any]:
    return {
        "offset": error.offset or 0,
        "filename": error.filename or "?",
        "line": error.text or "",
        "lineno": error.lineno or 0,
        "msg": error.msg,
    }


def _frames(traceback: TracebackType | None) -> list[dict[str, Any]]:
    frames = [
        {"filename": code.co_filename, "lineno": number, "name": code.co_name}
        for code, number in ((frame.f_code, number) for frame, number in walk_tb(traceback))
    ]
    if (skipped := len(frames) - _MOST_FRAMES) > 0:
        half = _MOST_FRAMES // 2
        gap = {"filename": "", "lineno": -1, "name": f"Skipped frames: {skipped}"}
        frames[half:-half] = [gap]
    return frames


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _without_secrets(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(one) for one in value]
    return value
