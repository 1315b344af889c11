"""Index files of a suite, and the packages that each of them lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from staging_api.publishing.domination import ALL
from staging_api.publishing.index_model import Unlisted
from staging_api.publishing.indices import INSTALLER_FOLDER, IndexEntry, packages_path, sources_path
from staging_api.publishing.model import Suite

#: Changes of one index file: by key, the new entry, or None to remove the entry.
Changes = Mapping[bytes, IndexEntry | None]


@dataclass(frozen=True)
class IndexPlace:
    """An index file of a suite, in all of its forms.

    Attributes:
        architecture: architecture of a Packages file; empty for Sources.
        installer: whether it is the Packages file of the .udebs.
    """

    component: str
    architecture: str
    installer: bool = False

    @property
    def path(self) -> str:
        """Path below the suite, without the suffix of a form."""
        if not self.architecture:
            return sources_path(self.component)
        return packages_path(self.component, self.architecture, installer=self.installer)

    def lists(self, package: Unlisted) -> bool:
        """Return whether the index lists the package; one for ``all`` is in each Packages file."""
        if package.component != self.component or package.installer != self.installer:
            return False
        if package.architecture is None:
            return not self.architecture
        return bool(self.architecture) and package.architecture in (self.architecture, ALL)


def places_of(suite: Suite, *, installer: bool) -> list[IndexPlace]:
    """Return all index files of a suite; `installer`: whether the suite has .udebs."""
    kinds = (False, True) if installer else (False,)
    return [
        place
        for component in suite.components
        for place in (
            *(
                IndexPlace(component, architecture, kind)
                for architecture in suite.architectures
                for kind in kinds
            ),
            IndexPlace(component, ""),
        )
    ]


def changes_in(place: IndexPlace, entries: Sequence[tuple[Unlisted, IndexEntry]]) -> Changes:
    """Return the changes of one index file by unlisted packages and their entries."""
    here = [(package, entry) for package, entry in entries if place.lists(package)]
    # Removals come first: the same package may have been sent again.
    here.sort(key=lambda change: change[0].shown)
    return {entry.key: entry if package.shown else None for package, entry in here}


def is_for_installer(path: str) -> bool:
    """Return whether an index file lists packages for the installer."""
    return f"/{INSTALLER_FOLDER}/" in path
