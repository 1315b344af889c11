"""Which tests a suite collects, and in which order: hooks of pytest, for the root conftest."""

import gc
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
#: Folders of which every test has the marker.
_OF_ONE_MARKER = {"system": _TESTS / "system", "prove": _TESTS / "prove"}
#: What a file has that may have tests of the system: the marker, or a service that needs a package.
_OF_SYSTEM = ("mark.system", "import BUCKETS")
#: Here a fixture brings such a service.
_ALSO_SYSTEM = _TESTS / "conformance"

#: Modules that take longest, so that none of them is begun last; those of one package are together,
#: for each process starts what a package shares whenever it comes to that package.
_FIRST = [
    f"{package}/test_{module}.py"
    for package, modules in {
        "system": ["cluster", "fuzzed_api", "image", "pages_in_a_browser", "first_install"],
        "acceptance": [
            *("packages", "corpus", "pages_as_printed", "documents_builds", "publications"),
            *("death", "store_chaos", "store_faults", "documents_contest", "silence", "journeys"),
        ],
        "integration": [
            *("staging_model", "docs_site", "configurations"),
            *("lock_real_warnings", "contracts", "damaged_store", "migrate_among_others"),
            *("migrate_with_rows", "migrate"),
        ],
        "integration/publishing": ["series"],
        "integration/documents": ["configdocs_conformance", "document_conditions"],
    }.items()
    for module in modules
]
_PACKAGES = [
    *("system", "acceptance", "integration", "integration/publishing"),
    *("integration/documents", "integration/ui"),
]


#: Of new objects, when garbage is looked for; 700, the default, takes a twentieth of the time.
_NEW_OBJECTS = 10_000

# Modules and tests live as long as the process: each pass of the collector would look through all
# of them, and find nothing, which takes a third of the time.
gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage again, more seldom, but not in what was collected."""
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
    gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without a test of the suite: every process would import them."""
    wanted = config.option.markexpr
    for marker, folder in _OF_ONE_MARKER.items():
        if f"not {marker}" in wanted and collection_path == folder:
            return True
    if wanted.startswith("system ") and collection_path.suffix == ".py":
        return not _may_be_system(collection_path) or None
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first.

    Raises:
        UsageError: a test of the system is where `make test-system` does not look for one.
    """
    places = {path: _place(path) for path in {item.path for item in items}}
    lost = {path for path in places if not _may_be_system(path)}
    for item in items:
        if item.path in lost and item.get_closest_marker("system"):
            raise pytest.UsageError(f"{item.nodeid} has a marker that its file does not name")
    items.sort(key=lambda item: places[item.path])


def _may_be_system(path: Path) -> bool:
    text = path.read_text()
    return _ALSO_SYSTEM in path.parents or any(words in text for words in _OF_SYSTEM)


def _place(path: Path) -> tuple[int, int, str]:
    name = path.relative_to(_TESTS).as_posix()
    package = name.rpartition("/")[0]
    return (
        _PACKAGES.index(package) if package in _PACKAGES else len(_PACKAGES),
        _FIRST.index(name) if name in _FIRST else len(_FIRST),
        name,
    )
