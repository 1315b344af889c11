"""Artifacts for the crash tests: one for each way of unpacking."""

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern


def _kind(extract: str, pattern: str, *only: str) -> ArtifactKind:
    choices = (Choice(Pattern(pattern), extract=extract, only=only),)
    return ArtifactKind(extract, "build", "foreground", choices)


KINDS = {
    "plain": _kind("plain", "payload.bin"),
    "tar": _kind("tar", "debug.tgz"),
    "zip": _kind("zip", "image.zip", "wanted.bin"),
}
