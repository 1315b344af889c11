"""What of a container file was left out, or taken otherwise than it says: counted by reason."""

from collections import Counter

from staging_api.formats.names import shown


class Notes:
    """The reasons, each with the number of members and the first of them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one member.

        Args:
            reason: a text that does not depend on the member: ``left out: the name is unsafe``.
            name: of the member.
        """
        self._counts[reason] += 1
        self._first.setdefault(reason, name)

    def sentences(self) -> tuple[str, ...]:
        """Return one sentence for each reason."""
        return tuple(
            f"{count} of its members {reason}; the first is {shown(self._first[reason])}"
            for reason, count in self._counts.items()
        )
