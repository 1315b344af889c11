"""Where a package's files lie: ``pool/<component>/<prefix>/<source>/<file>``."""

from staging_api.debian.names import package_name, safe_file_name
from staging_api.debian.version import Version
from staging_api.errors import PackageInvalid
from staging_api.publishing import rules

_SUFFIXES = frozenset({"deb", "udeb"})


def component_name(value: str) -> str:
    """The value, if it names a component.

    Raises:
        Invalid: it does not.
    """
    return rules.component("component", value)


@rules.package_refusals()
def binary_file_name(package: str, version: Version, architecture: str, suffix: str) -> str:
    """The file name of a binary package: ``hello_2.10-3_amd64.deb``, the epoch left out.

    Args:
        package: its name.
        version: its version.
        architecture: its architecture, or ``all``.
        suffix: ``deb`` or ``udeb``.

    Raises:
        PackageInvalid: the name would be unsafe or too long.
    """
    if suffix not in _SUFFIXES:
        raise PackageInvalid(f"{suffix!r} is not one of {sorted(_SUFFIXES)}")
    # dpkg-deb and apt write the colon that an epoch leaves possible as %3a; a mirror's file system
    # may not, so it is refused like any other character that is not plain.
    return safe_file_name(f"{package}_{version.without_epoch}_{architecture}.{suffix}")


@rules.package_refusals()
def pool_path(component: str, source: str, file_name: str) -> str:
    """The path of a file relative to the archive's root.

    Sources whose names start with ``lib`` are so many that four letters sort them, not one.

    Raises:
        Invalid: the component is not a name of one.
        PackageInvalid: source or file name is not a safe path segment.
    """
    prefix = source[:4] if source.startswith("lib") else source[:1]
    folder = component_name(component)
    return f"pool/{folder}/{prefix}/{package_name(source)}/{safe_file_name(file_name)}"
