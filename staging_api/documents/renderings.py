"""Cache of renderings by content, shared in memory: no caller may change one.

Renderings are stored unredacted, under the contents that they are made of. What a caller may see
is decided when a response is written, so no response made for one caller is given to another.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from staging_api.bounded_cache import BoundedCache
from staging_api.documents.contents import Contents
from staging_api.documents.model import Document, DocumentsInvalid, Finding, RenderingFailed
from staging_api.documents.rendering.engine import render
from staging_api.documents.rendering.model import Rendering
from staging_api.documents.stored import State
from staging_api.documents.validation.checks import Checker

_KEPT = 8

_Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Rendered:
    """A rendering, or the findings that prevent it, and all findings about it.

    Attributes:
        sound: whether the checks found nothing; warnings of the rendering itself do not count.
    """

    rendering: Rendering | None
    findings: tuple[Finding, ...]
    sound: bool = False


@dataclass
class Renderings:
    """The most recent renderings; thread-safe."""

    contents: Contents
    checker: Checker = field(default_factory=Checker)
    _kept: BoundedCache[_Key, Rendered] = field(default_factory=lambda: BoundedCache(_KEPT))
    #: The newest rendering, which the next one starts from, and the newest without findings.
    _newest: Rendering | None = None
    _sound: Rendering | None = None
    _keeping: threading.Lock = field(default_factory=threading.Lock)
    _checking: threading.Lock = field(default_factory=threading.Lock)

    def refuse_schemas(self, documents: Sequence[Document]) -> None:
        """Refuse DataSchema documents that are not valid schemas.

        Raises:
            DocumentsInvalid: with a finding for each fault.
        """
        with self._checking:
            findings = self.checker.schema_findings(documents)
        if findings:
            raise DocumentsInvalid(findings)

    def of(self, state: State) -> Rendered:
        """Render the collections of a revision; only changed documents are rendered again.

        Raises:
            DocumentsUnreadable: a key that sealed some of the documents is missing.
        """
        key = tuple(sorted((name, content.digest) for name, content in state.items()))
        with self._keeping:
            previous, sound = self._newest, self._sound
        found = self._kept.get(key) or self._render(state, previous, sound)
        self._kept.put(key, found)
        with self._keeping:
            self._newest = found.rendering or self._newest
            self._sound = found.rendering if found.sound else self._sound
        return found

    def _render(
        self, state: State, previous: Rendering | None, sound: Rendering | None
    ) -> Rendered:
        documents = self.contents.documents(state)
        try:
            rendering = render(documents, previous)
        except RenderingFailed as error:
            return Rendered(None, error.findings)
        with self._checking:
            findings = self.checker.findings(rendering, before=sound)
        return Rendered(rendering, (*rendering.warnings, *findings), sound=not findings)
