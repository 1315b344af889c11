"""Rule that every posted collection should have a deployment version document."""

from collections.abc import Sequence
from dataclasses import dataclass

from staging_api.documents.messages import Message, rule_message
from staging_api.documents.model import Document
from staging_api.documents.refusals import RequestInvalid

_SCHEMA, _NAME = "pegleg/DeploymentData/v1", "deployment-version"
_TITLE = "Deployment version document missing from collection"


@dataclass(frozen=True)
class DeploymentRule:
    """Severity of a collection without the deployment version document.

    Attributes:
        level: ``skip``, ``info``, ``warning`` or ``error``.
    """

    level: str = "skip"

    def missing_from(self, documents: Sequence[Document] | None) -> list[Message]:
        """Return messages about a collection without the document (None: it is being emptied).

        Raises:
            RequestInvalid: the document is missing, and the level is ``error``.
        """
        if documents is None or self.level == "skip" or self._is_among(documents):
            return []
        text = f"Expected document to be present with schema: {_SCHEMA} and name: {_NAME}"
        if self.level == "error":
            raise RequestInvalid(
                _TITLE,
                "Collection rejected due to missing deployment data document",
                [{"message": text, "error": True}],
            )
        return [rule_message(self.level, f"{_TITLE}. {text}")]

    def _is_among(self, documents: Sequence[Document]) -> bool:
        return any((each.schema, each.name) == (_SCHEMA, _NAME) for each in documents)
