r"""Substitution: copy values from finished documents to places in the draft.

The value is a literal, never a template: ``\1`` in a password stays as it is. Values are shared
with their source, and copied as soon as a later substitution changes a part of them, so no
substitution changes its source.
"""

from collections.abc import Mapping
from typing import Any

from staging_api.documents.editing import PlaceUnusable
from staging_api.documents.model import Destination, Document, Fault, Identity, Path, Substitution
from staging_api.documents.paths import MISSING, get, kind_of, path_text
from staging_api.documents.patterns import PatternInvalid, PatternTooSlow, reason_of
from staging_api.documents.rendering.budget import RenderingBudget, Unrenderable
from staging_api.documents.rendering.draft import Draft
from staging_api.documents.rendering.model import RenderedDocument
from staging_api.documents.rendering.tracing import Trace, TraceStep
from staging_api.documents.scalars import key_text

Sources = Mapping[tuple[str, str], RenderedDocument]


def substitute(document: Document, draft: Draft, sources: Sources, work: RenderingBudget) -> None:
    """Run a document's substitutions in order on its draft; each sees the earlier results.

    Raises:
        Unrenderable: `SUBSTITUTION_SOURCE_DATA_NOT_FOUND` or `INVALID_SUBSTITUTION`.
    """
    for number, substitution in enumerate(document.substitutions):
        source = sources[substitution.schema, substitution.name]
        place = f".metadata.substitutions[{number}]"
        one = _SingleSubstitution(document.identity, source.document.identity, place, draft, work)
        try:
            one.run(substitution, source)
        except PlaceUnusable as error:
            raise one.failed(Fault.INVALID_SUBSTITUTION, f"{error}") from None
        except (PatternInvalid, PatternTooSlow) as error:
            raise one.failed(Fault.INVALID_SUBSTITUTION, reason_of(error)) from None


class _SingleSubstitution:
    """One substitution, from its source to all its destinations."""

    def __init__(
        self, document: Identity, source: Identity, place: str, draft: Draft, work: RenderingBudget
    ) -> None:
        self._document = document
        self._source = source
        #: The field being processed, for messages.
        self._place = place
        self._draft = draft
        self._work = work

    def failed(self, fault: Fault, reason: str) -> Unrenderable:
        """Build the exception for a substitution that cannot be done."""
        message = f"cannot take a value from {self._source}: {reason}"
        return Unrenderable(fault, message, (self._document, self._source), self._place)

    def run(self, substitution: Substitution, source: RenderedDocument) -> None:
        """Read the value from the source, and write it to all destinations."""
        place = self._place
        self._place = f"{place}.src"
        value = self._value(substitution, source)
        trace = source.trace.get(substitution.path)
        trace = trace.further((TraceStep(self._document, place.removeprefix(".metadata.")),))
        for number, destination in enumerate(substitution.destinations):
            many = len(substitution.destinations) > 1
            self._place = f"{place}.dest[{number}]" if many else f"{place}.dest"
            if destination.pattern is None:
                self._set(destination.path, value, trace)
            else:
                self._replace(destination, value, trace)

    def replaced(self, pattern: str, old: str, text: str) -> str | None:
        """Replace all matches in a text by `text`, literally; None: nothing matched."""
        matches = self._work.patterns.matches(pattern, old)
        if not matches:
            return None
        # Checked before the text is built: a short pattern and a long value can produce gigabytes.
        self._grow(len(matches) * len(text))
        parts, end = [], 0
        for match in matches:
            parts += [old[end : match.start()], text]
            end = match.end()
        return "".join([*parts, old[end:]])

    def _value(self, substitution: Substitution, source: RenderedDocument) -> Any:
        value = get(source.data, substitution.path)
        if value is MISSING or value is None:
            where = path_text(substitution.path)
            was = "nothing" if value is MISSING else "null"
            reason = f"its data has {was} at {where}"
            raise self.failed(Fault.SUBSTITUTION_SOURCE_DATA_NOT_FOUND, reason)
        if substitution.pattern is None:
            return value
        if not isinstance(value, str):
            raise self._invalid(f"the pattern needs a text, and the value is {kind_of(value)}")
        match = self._work.patterns.search(substitution.pattern, value)
        if match is None:
            self._warn("the pattern matches nothing, so the whole text is taken")
            return value
        part = match[substitution.match_group]
        if part is None:
            group = substitution.match_group
            raise self._invalid(f"group {group} of the pattern is not in what the pattern matches")
        return part

    def _set(self, path: Path, value: Any, trace: Trace) -> None:
        size, depth = self._work.measure(value)
        if len(path) + depth > self._work.limits.depth:
            limit = self._work.limits.depth
            raise self.failed(Fault.LIMIT_EXCEEDED, f"the data would be deeper than {limit}")
        self._grow(size)
        for place, step in enumerate(path):
            if isinstance(step, int) and self._draft.get(path[:place]) == []:
                raise self._invalid(f"{path_text(path[:place])} is an empty list")
        if not path and isinstance(value, dict) and isinstance(self._draft.data, dict):
            for key, each in value.items():
                self._draft.put((key,), each, trace.child(key))
        else:
            self._draft.put(path, value, trace)

    def _replace(self, destination: Destination, value: Any, trace: Trace) -> None:
        """Replace the matches of the destination's pattern by the value as text."""
        path, text = destination.path, _text_of(value)
        if text is None:
            raise self._invalid(f"{kind_of(value)} cannot take the place of a pattern in a text")
        old = self._draft.get(path)
        if old is MISSING:
            raise self._invalid(f"nothing is at {path_text(path)}, where the pattern is looked for")
        if isinstance(old, str):
            depth = 0
        elif destination.recurse_depth is not None and isinstance(old, dict | list):
            depth = destination.recurse_depth
        else:
            below = ", and there is no recurse" if isinstance(old, dict | list) else ""
            raise self._invalid(f"{path_text(path)} is {kind_of(old)}, not a text{below}")
        replacing = _Replacing(str(destination.pattern), text, trace, self)
        new = replacing.below(old, self._draft.trace.get(path), depth)
        if new is None:
            self._warn(f"the pattern matches nothing at {path_text(path)}")
        else:
            self._draft.put(path, *new)

    def _grow(self, size: int) -> None:
        self._work.spend(size, self._document)

    def _invalid(self, reason: str) -> Unrenderable:
        return self.failed(Fault.INVALID_SUBSTITUTION, reason)

    def _warn(self, message: str) -> None:
        place = f"{self._place}.pattern"
        self._work.warn(Fault.PATTERN_WITHOUT_MATCH, message, self._document, place)


class _Replacing:
    """Replaces a pattern in texts, including texts inside mappings and lists."""

    def __init__(self, pattern: str, text: str, trace: Trace, one: _SingleSubstitution) -> None:
        self._pattern = pattern
        self._text = text
        self._trace = trace
        self._one = one

    def below(self, value: Any, trace: Trace, depth: int) -> tuple[Any, Trace] | None:
        """Return value and trace with the texts replaced; None: nothing matched.

        Args:
            value: a text, or a mapping or list whose texts are searched, but never its keys.
            trace: the origin of the value.
            depth: number of levels of mappings and lists to search; -1: all.
        """
        if isinstance(value, str):
            text = self._one.replaced(self._pattern, value, self._text)
            if text is None:
                return None
            return text, Trace((*self._trace.origins, *trace.origins))
        if depth == 0 or not isinstance(value, dict | list):
            return None
        changed = {}
        for step, each in value.items() if isinstance(value, dict) else enumerate(value):
            new = self.below(each, trace.child(step), depth - 1)
            if new is not None:
                changed[step] = new
        if not changed:
            return None
        data, traced = value.copy(), trace.copy()
        for step, (new_value, below) in changed.items():
            data[step], traced.children[step] = new_value, below
        return data, traced


def _text_of(value: Any) -> str | None:
    """Return a scalar as text, as JSON writes it; None: the value is not a scalar."""
    return key_text(value) if isinstance(value, str | int | float) else None
