"""Choose the required verification of an archive's objects by the prefix of its URL.

The setting lists requirements, for all archives or for those below a URL::

    digest, https://releases.example/=signature, gs://scratch/=nothing

The longest prefix that covers an archive decides. A catalogue may require more, never less.
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
    """The least verification that the objects of each archive need.

    Attributes:
        needs: pairs of a prefix, None for all other archives, and the requirement below it; the
            longest prefixes first.
        keys: public keys whose signatures count: files, or folders of files, which are read at each
            use.
    """

    needs: tuple[tuple[ArchiveUrl | None, str], ...] = ()
    keys: tuple[str, ...] = ()

    @classmethod
    def parse(cls, needs: str, keys: str) -> "Requirements":
        """Parse the two settings; empty ones require nothing.

        Raises:
            Invalid: a prefix is no URL or occurs twice, a word is unknown, a key cannot be read, or
                signatures are required and there is no key.
        """
        found = [_need(text.strip()) for text in needs.split(",") if text.strip()]
        prefixes = [prefix for prefix, _ in found]
        if twice := next((each for each in prefixes if prefixes.count(each) > 1), None):
            raise Invalid.field(_FIELD, f"has two requirements for {twice.canonical}")
        if prefixes.count(None) > 1:
            raise Invalid.field(_FIELD, "has two requirements for all other archives")
        paths = _key_paths(keys)
        if not paths and any(need == _SIGNATURE for _, need in found):
            raise Invalid.field(_KEYS_FIELD, f"must name keys: {_FIELD} asks for signatures")
        return cls(tuple(sorted(found, key=lambda need: most_specific_first(need[0]))), paths)

    def of(self, url: ArchiveUrl) -> str:
        """Return an archive's requirement: ``digest``, ``signature`` or ``nothing``."""
        found = (need for prefix, need in self.needs if prefix is None or prefix.covers(url))
        return next(found, _NOTHING)

    def applied(self, kinds: Sequence[ArtifactKind], url: ArchiveUrl) -> tuple[ArtifactKind, ...]:
        """Return the artifacts of a request with the verification that their objects need."""
        need = self.of(url)
        if need == _NOTHING:
            return tuple(kinds)
        rule = Verification(keys=self.keys, beside=need)
        return tuple(
            kind if _is_enough(kind.verify, need) else replace(kind, verify=rule) for kind in kinds
        )


def _is_enough(rule: Verification | None, need: str) -> bool:
    """Return whether the verification by a catalogue is at least as strict."""
    return rule is not None and (rule.is_signed or need == _DIGEST)


def _need(text: str) -> tuple[ArchiveUrl | None, str]:
    # Split at the last ``=``: the path of a URL may contain one, too.
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
