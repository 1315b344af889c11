"""What two services must have alike in an answer: all but names, times and measures."""

import io
import json
import re
import tarfile
from typing import Any

from tests.service import Answer

_ULID = re.compile(r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d (?:GMT|UTC)")
_TAG = re.compile(r'(?:W/)?"[^"]*"')
#: Fields that measure a run, or name what only one configuration has.
_MEASURES = {
    *("seconds", "retry_after_seconds", "source_version", "request_id", "holder"),
    *("attempt", "fence"),
}
#: Fields that a key of the configuration goes into: the same value gets the same word each time.
_KEYED = {"digest"}
#: Headers that are a part of an answer; its length only where its body is compared byte for byte.
_HEADERS = (
    *("Content-Type", "ETag", "Cache-Control", "Location", "Allow", "Vary", "Content-Range"),
    *("Accept-Ranges", "Content-Disposition", "Repr-Digest", "X-Content-Type-Options", "Link"),
)


class Plain:
    """Says an answer without what may differ; the same id gets the same word each time.

    Args:
        words: what this configuration has of its own (its address, its source), by its plain word.
    """

    def __init__(self, words: dict[str, str]) -> None:
        self._words = words
        self._names: dict[str, dict[str, str]] = {}

    def answer(self, answer: Answer, server: str = "") -> dict[str, Any]:
        """Status, headers and body of an answer; tags of another server have names of their own."""
        there = [name for name in _HEADERS if name in answer.headers]
        headers = {name: self._header(name, answer, server) for name in there}
        return {"status": answer.status, "headers": headers, "body": self._body(answer)}

    def text(self, text: str) -> str:
        """A text with plain words for what is this configuration's own."""
        for own, word in sorted(self._words.items(), key=lambda each: -len(each[0])):
            text = text.replace(own, word)
        text = _DATE.sub("<date>", _TIME.sub("<time>", text))
        return _ULID.sub(lambda found: self._named("id", found[0]), text)

    def _header(self, name: str, answer: Answer, server: str) -> str:
        value = answer.headers[name]
        if name in ("ETag", "Repr-Digest"):  # a Release has the time of its making in it
            return self._named(f"{server}{name}", value)
        return self.text(value)

    def _body(self, answer: Answer) -> Any:
        media = answer.headers.get("Content-Type", "")
        if "json" in media:
            return self._value(json.loads(answer.body)) if answer.body else None
        if media.startswith("application/x-tar"):
            return _members(answer.body)
        try:
            return self.text(answer.body.decode())
        except UnicodeDecodeError:
            return answer.body

    def _value(self, value: Any) -> Any:
        match value:
            case dict():
                return {self.text(key): self._field(key, each) for key, each in value.items()}
            case list():
                return [self._value(each) for each in value]
            case str():
                if _TAG.fullmatch(value):
                    return self._named("ETag", value)
                return self.text(value)
            case _:
                return value

    def _field(self, key: str, value: Any) -> Any:
        if key in _MEASURES:
            return "<measure>"
        if key in _KEYED and isinstance(value, str):
            return self._named(key, value)
        return self._value(value)

    def _named(self, kind: str, own: str) -> str:
        names = self._names.setdefault(kind, {})
        return names.setdefault(own, f"<{kind} {len(names)}>")


def _members(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        read = ((each, files.extractfile(each)) for each in files)
        return {each.name: file.read() if file else b"" for each, file in read}
