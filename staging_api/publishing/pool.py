"""Paths of package files in the pool: ``pool/<component>/<prefix>/<source>/<file>``."""

from staging_api.debian.names import package_name, safe_file_name
from staging_api.debian.version import Version
from staging_api.errors import PackageInvalid
from staging_api.publishing import rules

_SUFFIXES = frozenset({"deb", "udeb"})


def component_name(value: str) -> str:
    """Return the value if it is the name of a component.

    Raises:
        Invalid: the value is not a component name.
    """
    return rules.component("component", value)


@rules.package_refusals()
def binary_file_name(package: str, version: Version, architecture: str, suffix: str) -> str:
    """Return the file name of a binary package, without epoch: ``hello_2.10-3_amd64.deb``.

    Args:
        package: name of the package.
        version: version of the package.
        architecture: architecture of the package, or ``all``.
        suffix: ``deb`` or ``udeb``.

    Raises:
        PackageInvalid: the name would be unsafe or too long.
    """
    if suffix not in _SUFFIXES:
        raise PackageInvalid(f"{suffix!r} is not one of {sorted(_SUFFIXES)}")
    # With an epoch, a version may contain a colon. dpkg-deb and apt write it as %3a in file names,
    # but a mirror's file system may not, so a colon is refused like other special characters.
    return safe_file_name(f"{package}_{version.without_epoch}_{architecture}.{suffix}")


@rules.package_refusals()
def pool_path(component: str, source: str, file_name: str) -> str:
    """Return the path of a file relative to the archive's root.

    Sources whose names start with ``lib`` are so many that their prefix has four letters, not one.

    Raises:
        Invalid: the component is not a component name.
        PackageInvalid: source or file name is not a safe path segment.
    """
    prefix = source[:4] if source.startswith("lib") else source[:1]
    folder = component_name(component)
    return f"pool/{folder}/{prefix}/{package_name(source)}/{safe_file_name(file_name)}"
