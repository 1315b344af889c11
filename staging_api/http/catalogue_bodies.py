"""Request and response bodies of ``/catalogue``."""

from typing import Self

from pydantic import Field

from staging_api.catalogue.model import ArtifactKind, Choice
from staging_api.http.bodies import Body, NounBody, Text
from staging_api.staging.catalogue_check import CatalogueResult, EntryResult
from staging_api.staging.catalogues import CatalogueOfPrefix
from staging_api.vocabulary.staging import Phase


class ChoiceBody(NounBody):
    """One way to get an artifact: the objects, and the members that are taken out of them."""

    pattern: str
    excluding: str | None
    extract: str
    only: list[str]
    without: list[str]
    several: str = Field(
        description=(
            "what happens if several objects match and one is needed: `refuse`, or `shortest`"
        )
    )

    @classmethod
    def of(cls, noun: Choice) -> Self:
        """Build the body of a choice."""
        excluding = noun.excluding.glob if noun.excluding else None
        return cls.filled(noun, pattern=noun.pattern.glob, excluding=excluding)


class EntryBody(NounBody):
    """One entry of a catalogue."""

    name: str
    group: str
    phase: Phase
    optional: bool
    every: bool = Field(description="whether all matching objects are used, or one")
    lands: str = Field(
        description="target path below the archive's folder; a folder ends in / or is empty"
    )
    aliases: list[str]
    brings: list[str] = Field(
        description="further entries that are staged whenever it is requested"
    )
    choices: list[ChoiceBody] = Field(description="the first one with an existing object is used")

    @classmethod
    def of(cls, noun: ArtifactKind) -> Self:
        """Build the body of an entry."""
        return cls.filled(noun, choices=[ChoiceBody.of(choice) for choice in noun.choices])


class CatalogueBody(NounBody):
    """A catalogue, and the archive prefixes that it applies to."""

    name: str
    prefix: str | None = Field(
        description="prefix of the archives that it is used for; null: all others"
    )
    default: list[str] = Field(description="artifacts staged by a request that names none")
    artifacts: list[EntryBody]

    @classmethod
    def of(cls, noun: CatalogueOfPrefix) -> Self:
        """Build the body of a catalogue."""
        return cls.filled(
            noun.catalogue,
            prefix=noun.prefix.canonical if noun.prefix else None,
            artifacts=[EntryBody.of(kind) for kind in noun.catalogue.kinds],
        )


class CatalogueList(Body):
    """The catalogues of the service, in the order in which their prefixes are matched."""

    items: list[CatalogueBody]
    next: str | None = None


class CatalogueQuery(Body):
    """Filters for catalogues."""

    archive_url: Text | None = Field(None, description="only the catalogue of this archive")


class CatalogueCheckRequest(Body):
    """A catalogue to try on an archive."""

    archive_url: str = Field(min_length=1, max_length=8192, examples=["gs://builds/board/R17-1"])
    catalogue: Text | None = Field(
        None,
        min_length=1,
        max_length=1 << 18,
        description="the text of a catalogue file; null: the catalogue of this service",
    )


class EntryResultBody(NounBody):
    """The objects that one entry of a catalogue finds."""

    name: str
    group: str
    phase: Phase
    optional: bool
    in_default: bool = Field(description="whether a request that names no artifacts stages it")
    choice: ChoiceBody
    objects: list[str]
    lands: list[str]
    reason: str | None = Field(description="why nothing was found")

    @classmethod
    def of(cls, noun: EntryResult) -> Self:
        """Build the body of an entry's result."""
        kind = {name: getattr(noun.kind, name) for name in ("name", "group", "phase", "optional")}
        return cls.filled(noun, **kind, choice=ChoiceBody.of(noun.choice))


class CatalogueCheckBody(NounBody):
    """The objects that a catalogue finds in an archive."""

    archive_url: str
    catalogue: str
    default: list[str]
    artifacts: list[EntryResultBody]
    left_over: list[str] = Field(description="objects that match no entry")
    left_out: list[str] = Field(
        description="unsafe names in the archive's list, escaped; the first 100"
    )
    collisions: list[str] = Field(
        description=(
            "conflicts in the default: paths that two files would have, or that would "
            "be both a file and a folder"
        )
    )

    @classmethod
    def of(cls, noun: CatalogueResult) -> Self:
        """Build the body of a catalogue's result."""
        return cls.filled(
            noun,
            catalogue=noun.catalogue.name,
            default=noun.catalogue.default,
            artifacts=[EntryResultBody.of(entry) for entry in noun.entries],
        )
