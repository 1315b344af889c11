"""Choose what must vouch for the objects of an archive, by the prefix of its URL.

The setting lists what is needed, for all archives or for those below a URL::

    digest, https://releases.example/=signature, gs://scratch/=nothing

The longest prefix that covers an archive decides. A catalogue may ask for more, never for less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from staging_api.catalogue.model import ArtifactKind, Verification
from staging_api.errors import Invalid
from staging_api.signatures import SignatureInvalid, check_key
from staging_api.sources.url import ArchiveUrl, most_specific_first, parse_setting

_FIELD, _KEYS_FIELD = "STAGING_REQUIRE_VERIFIED", "STAGING_VERIFY_KEYS"
_DIGEST, _SIGNATURE, _NOTHING = _NEEDS = ("digest", "signature", "nothing")


@dataclass(frozen=True)
class Requirements:
    """What the objects of each archive need, at the least.

    Attributes:
        needs: pairs of a prefix, None for all other archives, and what is needed below it; the
            longest prefixes first.
        keys: of those whose signatures count: files, or folders of files, which are read anew each
            time.
    """

    needs: tuple[tuple[ArchiveUrl | None, str], ...] = ()
    keys: tuple[str, ...] = ()

    @classmethod
    def parse(cls, needs: str, keys: str) -> "Requirements":
        """Read the two settings; empty requires nothing.

        Raises:
            Invalid: a prefix is no URL or stands there twice, a word is unknown, a key cannot be
                read, or signatures are needed and there is no key.
        """
        found = [_need(text.strip()) for text in needs.split(",") if text.strip()]
        prefixes = [prefix for prefix, _ in found]
        if twice := next((each for each in prefixes if prefixes.count(each) > 1), None):
            raise Invalid.field(_FIELD, f"says twice what is needed below {twice.canonical}")
        if prefixes.count(None) > 1:
            raise Invalid.field(_FIELD, "says twice what all other archives need")
        paths = _key_paths(keys)
        if not paths and any(need == _SIGNATURE for _, need in found):
            raise Invalid.field(_KEYS_FIELD, f"must name keys: {_FIELD} asks for signatures")
        return cls(tuple(sorted(found, key=lambda need: most_specific_first(need[0]))), paths)

    def of(self, url: ArchiveUrl) -> str:
        """Return what the objects of an archive need: ``digest``, ``signature`` or ``nothing``."""
        found = (need for prefix, need in self.needs if prefix is None or prefix.covers(url))
        return next(found, _NOTHING)

    def applied(self, kinds: Sequence[ArtifactKind], url: ArchiveUrl) -> tuple[ArtifactKind, ...]:
        """Return the artifacts of a request with what must vouch for their objects."""
        need = self.of(url)
        if need == _NOTHING:
            return tuple(kinds)
        rule = Verification(keys=self.keys, beside=need)
        return tuple(
            kind if _is_enough(kind.verify, need) else replace(kind, verify=rule) for kind in kinds
        )


def _is_enough(rule: Verification | None, need: str) -> bool:
    """Whether what a catalogue asks for is at least as much."""
    return rule is not None and (rule.is_signed or need == _DIGEST)


def _need(text: str) -> tuple[ArchiveUrl | None, str]:
    # At the last ``=``: the path of a URL may have one, too.
    prefix, equals, word = text.rpartition("=")
    if not equals:
        prefix, word = ("", text) if "://" not in text else (text, _DIGEST)
    if word not in _NEEDS:
        known = ", ".join(_NEEDS)
        raise Invalid.field(_FIELD, f"{text!r} must be one of {known}, or PREFIX=WORD")
    return parse_setting(prefix, _FIELD) if prefix else None, word


def _key_paths(text: str) -> tuple[str, ...]:
    paths = tuple(word.strip() for word in text.split(",") if word.strip())
    for path in paths:
        if not path.startswith("/"):
            raise Invalid.field(_KEYS_FIELD, "must be absolute paths of files or folders")
        try:
            check_key(path)
        except SignatureInvalid as error:
            raise Invalid.field(_KEYS_FIELD, str(error)) from None
    return paths
