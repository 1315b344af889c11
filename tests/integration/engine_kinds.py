"""Artifacts for the crash tests: one for each way of unpacking."""

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern

#: Length of parts in these tests: a quarter of the usual one, so that objects of several parts are
#: small.
PART_BYTES = 2 << 20
#: The modules that know the length.
OF_PARTS = ("staging_api.store.parts.PART_BYTES", "staging_api.staging.download.PART_BYTES")


def _kind(extract: str, pattern: str, *only: str) -> ArtifactKind:
    choices = (Choice(Pattern(pattern), extract=extract, only=only),)
    return ArtifactKind(extract, "build", "foreground", choices)


KINDS = {
    "plain": _kind("plain", "payload.bin"),
    "tar": _kind("tar", "debug.tgz"),
    "zip": _kind("zip", "image.zip", "wanted.bin"),
}
