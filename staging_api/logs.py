"""Log lines: for people on a console, or one JSON object each; with ids, without secrets."""

import logging
import re
import sys
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

# What each of these has somewhere: one look finds that most texts have none, which is what makes a
# line affordable.
_TELLTALES = re.compile(r"://|bearer|basic|stg_|eyj|passw|secret|token", re.IGNORECASE)


def configure(form: Literal["console", "json"]) -> None:
    """Send every logger's lines to standard error in one form, with the request's ids in each."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        [
            _with_ids,
            structlog.processors.ExceptionRenderer(_TRACEBACK),
            _redacted,
            structlog.processors.JSONRenderer(),
        ]
        if form == "json"
        else [
            structlog.processors.ExceptionRenderer(),
            _redacted,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


def about(**ids: str | None) -> None:
    """Put these ids into every further line of this request, or of this piece of work."""
    structlog.contextvars.bind_contextvars(**ids)


def forget() -> None:
    """The request, or the piece of work, is done: the next line is about something else."""
    structlog.contextvars.clear_contextvars()


def redact(text: str) -> str:
    """Hide what looks like a secret."""
    if _TELLTALES.search(text) is None:
        return text
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _with_ids(_logger: Any, _method: str, line: EventDict) -> EventDict:
    return {**dict.fromkeys(IDS), **line}


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
