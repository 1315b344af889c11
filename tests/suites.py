"""Selection and order of the tests of each suite: pytest hooks for the root conftest."""

import gc
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
#: Folders whose tests all get the marker.
_OF_ONE_MARKER = {"system": _TESTS / "system", "prove": _TESTS / "prove"}
#: Signs of system tests in a file: the marker, or a service that needs a package.
_OF_SYSTEM = ("mark.system", "import BUCKETS")
#: Folders with a fixture that starts such a service.
_ALSO_SYSTEM = _TESTS / "conformance"

#: Modules that take longest, so that none of them starts last; modules of one package are adjacent,
#: because each process starts a package's shared services when it first reaches that package.
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


#: New objects before each garbage collection; with 700, the default, it takes a twentieth
#: of the time.
_NEW_OBJECTS = 10_000

# Modules and tests live as long as the process: each pass of the collector would examine all of
# them in vain, which takes a third of the time.
gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again, less often, and without the objects of the collection phase."""
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
    gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without a test of the suite, because every process would import them."""
    wanted = config.option.markexpr
    for marker, folder in _OF_ONE_MARKER.items():
        if f"not {marker}" in wanted and collection_path == folder:
            return True
    if wanted.startswith("system ") and collection_path.suffix == ".py":
        return not _may_be_system(collection_path) or None
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first.

    Raises:
        UsageError: a system test is in a place where `make test-system` does not look for it.
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
