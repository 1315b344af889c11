"""kill -9 at every step of a change of documents: the change is stored whole or not at all."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from staging_api.db.engine import Database
from staging_api.documents.changing import ChangeOrigin
from staging_api.documents.rotation import rotate
from staging_api.documents.undoing import undo_overdue
from staging_api.locks.hold import RequestOrigin
from tests.documents import DocumentApi, document, document_api, policy, secret, stream
from tests.documents_history import violations
from tests.rows import execute, select

AUTHOR = ChangeOrigin(RequestOrigin("tester"))
_WRITE = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")
Operation = Callable[[DocumentApi, int], object]

_STATE = """
    SELECT c.name AS collection, b.name, coalesce(b.body ->> 'data', 'sealed')
    FROM document_collection_versions v
    JOIN document_collections c ON c.id = v.collection_id
    JOIN document_bodies b ON b.content_id = v.content_id
    WHERE v.first_revision <= ({revision})
        AND (v.until_revision IS NULL OR v.until_revision > ({revision}))
    ORDER BY 1, 2
"""
_NEWEST = "SELECT max(number) FROM document_revisions"
_COMMITTED = "SELECT max(revision) FROM document_commits"
_COUNTS = """
    SELECT (SELECT count(*) FROM document_revisions), (SELECT count(*) FROM document_commits),
        (SELECT count(*) FROM document_commits WHERE confirmed_at IS NULL),
        (SELECT count(*) FROM document_commits WHERE undone_in IS NULL),
        (SELECT count(*) FROM document_tags), (SELECT count(*) FROM document_events)
"""


def snapshot(database: Database) -> Any:
    """Return all data that a change of documents may change, except its author."""
    states = [_STATE.format(revision=revision) for revision in (_NEWEST, _COMMITTED)]
    return [select(database, query) for query in (*states, _COUNTS)]


class World:
    """One process that stays alive, and others that are killed during an operation."""

    def __init__(self, site: DocumentApi, database: Database, url: str, folder: Path) -> None:
        self.site = site
        self.database = database
        self._url = url
        self._folder = folder

    def dies_in(self, operation: Operation, number: int, step: int) -> bool:
        """Run an operation in a process that is killed before a step.

        Return false if the operation had fewer steps.
        """
        child = os.fork()
        if child == 0:
            try:
                with document_api(self._url, self._folder) as api, killed_before(step):
                    operation(api, number)
            except BaseException:  # noqa: BLE001 - it must not become a second test run
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            # The next request for the dead process's lock need not wait until the lease expires.
            execute(
                self.database,
                "UPDATE lock_scopes SET acquired_at = acquired_at - interval '1 h',"
                " expires_at = clock_timestamp() - interval '1 ms' WHERE lock_id IS NOT NULL",
            )
            return True
        assert os.WEXITSTATUS(status) == 0
        return False

    def commit_unconfirmed(self, number: int) -> None:
        """Commit the buffer with a time limit for its confirmation."""
        add(self.site, number)
        assert self.site.commit(confirm_within="600").status == 200


@contextmanager
def killed_before(step: int) -> Iterator[None]:
    """Kill this process before the write, or the end of a transaction, with this number.

    Death before a read leaves the same rows as death before the next write.
    """
    steps = iter(range(1 << 20))

    def count(*_: object) -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def count_write(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if _WRITE.search(statement):
            count()

    event.listen(Engine, "before_cursor_execute", count_write)
    event.listen(Engine, "commit", count)
    yield


def add(api: DocumentApi, number: int) -> None:
    api.add(f"c{number}", document(f"d{number}"), secret(f"s{number}"))


def post(api: DocumentApi, number: int) -> None:
    api.post(f"c{number}", document(f"d{number}"), secret(f"s{number}"), buffermode="append")


def replace(api: DocumentApi, number: int) -> None:
    """Replace the buffer by one collection that has a document of another collection."""
    api.post(f"r{number}", document(f"d{number}"), buffermode="replace")


def commit(api: DocumentApi, _: int) -> None:
    api.commit()


def discard(api: DocumentApi, _: int) -> None:
    api.ask("DELETE", "/document-buffer")


def confirm(api: DocumentApi, _: int) -> None:
    newest = api.get("/document-buffer").json["committed"]
    api.ask("POST", f"/document-revisions/{newest}/confirm", {})


def undo(api: DocumentApi, _: int) -> None:
    undo_overdue(api.services.locks)


@pytest.fixture
def world(database: Database, database_url: str, tmp_path: Path) -> Iterator[World]:
    # The living process and the killed ones share one folder, with the encryption key.
    with document_api(database_url, tmp_path) as site:
        site.committed("base", policy(), document("base"), secret("first"))
        yield World(site, database, database_url, tmp_path)
    assert violations(database, [1]) == []


def nothing(_: World, __: int) -> None:
    """Prepare nothing: the operation needs no existing documents."""


def buffer(world: World, number: int) -> None:
    add(world.site, number)


def unconfirmed(world: World, number: int) -> None:
    world.commit_unconfirmed(number)


def overdue(world: World, number: int) -> None:
    """Prepare a commit whose confirmation is overdue, below a buffer that must be kept."""
    world.commit_unconfirmed(number)
    world.site.add(f"later{number}", document(f"later{number}"))
    execute(
        world.database,
        "UPDATE document_commits SET confirm_until = created_at WHERE confirm_until IS NOT NULL"
        " AND confirmed_at IS NULL AND undone_in IS NULL",
    )


def clean(world: World, _: int) -> None:
    discard(world.site, 0)


def final(world: World, number: int) -> None:
    confirm(world.site, number)
    discard(world.site, 0)


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("prepare", "operation", "tidy"),
    [
        pytest.param(nothing, post, clean, id="post"),
        pytest.param(buffer, replace, clean, id="replace"),
        pytest.param(buffer, commit, clean, id="commit"),
        pytest.param(unconfirmed, confirm, clean, id="confirm"),
        pytest.param(overdue, undo, final, id="undo"),
    ],
)
def test_killed_at_any_step_a_change_is_done_or_not_begun(
    world: World,
    prepare: Callable[[World, int], None],
    operation: Operation,
    tidy: Callable[[World, int], None],
) -> None:
    outcomes = set()
    step = 0
    while True:
        prepare(world, step)
        before = snapshot(world.database)
        died = world.dies_in(operation, step, step)
        left = snapshot(world.database)
        operation(world.site, step)
        after = snapshot(world.database)
        # The request, sent again, is done only once.
        assert left in (before, after), step
        outcomes.add((died, left == after))
        tidy(world, step)
        if not died:
            break
        step += 1
    # Some processes died before the change, the last one survived; its last commit is the change.
    assert {(True, False), (False, True)} <= outcomes
    assert step > 1


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_killed_at_any_step_a_rotation_leaves_all_readable_and_goes_on(world: World) -> None:
    posted = {f"c{number}": stream(secret(f"s{number}", f"word {number}")) for number in range(3)}
    for name, raw in posted.items():
        assert world.site.post_text(name, raw, buffermode="append").status == 201

    def turn(api: DocumentApi, _: int) -> None:
        rotate(api.services.documents, AUTHOR, new_key=True)

    step, mixed = 0, 0
    while world.dies_in(turn, 0, step):
        keys = select(world.database, "SELECT DISTINCT key_id FROM document_contents")
        mixed += len({key for (key,) in keys if key is not None}) > 1
        for name, raw in posted.items():
            shown = world.site.get(f"/configdocs/{name}", cleartext_secrets="true")
            assert (shown.status, shown.body) == (200, raw)
        step += 1
    assert mixed > 0
    rotate(world.site.services.documents, AUTHOR, new_key=False)
    [[key]] = select(
        world.database, "SELECT DISTINCT key_id FROM document_contents WHERE key_id IS NOT NULL"
    )
    newest = select(world.database, "SELECT id FROM document_keys ORDER BY created_at DESC LIMIT 1")
    assert [(key,)] == [tuple(row) for row in newest]
