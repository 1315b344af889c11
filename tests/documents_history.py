"""Concurrent writers of documents, and a check of the resulting tables.

Each writer posts, replaces, discards and commits on any pod, while pods are killed. Writers
record their responses; a request without a response may or may not have been done, and proves no
violation. Afterwards the tables are checked against the rules of every correct store.
"""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import urllib3

from staging_api.db.engine import Database
from tests.documents import API, document, policy, stream
from tests.rows import select
from tests.service import Pod, Service
from tests.source import PATIENCE_SECONDS

#: Documents that every writer wants in its own collection: only one collection can have each.
_CONTESTED = 4
#: Writers queue for the lock, so that more requests succeed than are refused.
_YAML = {"Content-Type": "application/x-yaml", "Prefer": "wait=5"}


@dataclass
class Contest:
    """Writers on several pods, and the responses that they got.

    Attributes:
        collections: number of collections that are written to.
        least: minimum number of commits; on a busy machine the writers go on beyond `seconds`.
        committed: revisions whose commit was answered with success.
        answers: number of responses by status.
    """

    service: Service
    pods: list[Pod]
    seconds: float
    kills: int
    collections: int = 6
    least: int = 10
    committed: list[int] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    unanswered: int = 0

    def run(self, writers: int) -> None:
        """Let the writers write, and kill pods meanwhile."""
        self._until = time.monotonic() + self.seconds
        self._telling = threading.Lock()
        with ThreadPoolExecutor(writers + 1) as pool:
            killing = pool.submit(self._kill)
            writing = [pool.submit(self._write, number) for number in range(writers)]
            for each in [killing, *writing]:
                each.result()

    def _kill(self) -> None:
        for number in range(self.kills):
            time.sleep(self.seconds / (self.kills + 1))
            victim = number % len(self.pods)
            self.pods[victim].kill()
            self.pods[victim] = self.service.again(self.pods[victim])

    def _write(self, number: int) -> None:
        dice = random.Random(number)
        pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(30))
        while self._goes_on():
            method, path, body = self._request(dice)
            url = self.pods[dice.randrange(len(self.pods))].url
            try:
                answer = pool.request(method, url + path, body=body, headers=_YAML)
            except urllib3.exceptions.HTTPError:
                with self._telling:
                    self.unanswered += 1
                time.sleep(0.05)
                continue
            shown = answer.json()
            with self._telling:
                self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
                if "/commitconfigdocs" in path and answer.status == 200:
                    self.committed.append(shown["revision"])

    def _goes_on(self) -> bool:
        over = time.monotonic() - self._until
        return over < 0 or (len(self.committed) < self.least and over < PATIENCE_SECONDS)

    def _request(self, dice: random.Random) -> tuple[str, str, bytes]:
        chance = dice.random()
        if chance < 0.25:
            # Forced, also without a policy: another writer may have removed it.
            forced = dice.choice(("true", "false"))
            return "POST", f"{API}/commitconfigdocs?force={forced}", b""
        if chance < 0.30:
            return "DELETE", f"{API}/document-buffer", b""
        collection = f"c{dice.randrange(self.collections)}"
        mode = dice.choice((*3 * ("append",), *2 * ("replace",), "rejectoncontents"))
        path = f"{API}/configdocs/{collection}?buffermode={mode}"
        if chance < 0.35:
            return "POST", f"{path}&empty-collection=true", b""
        documents = [document(f"own {collection}", dice.randrange(1000))]
        if dice.random() < 0.5:
            documents.append(document(f"contested {dice.randrange(_CONTESTED)}"))
        if dice.random() < 0.3:
            documents.append(policy(f"policy of {collection}"))
        return "POST", path, stream(*documents)


def violations(database: Database, committed: list[int]) -> list[str]:
    """Return every violation in the tables that no correct document store allows."""
    found = [f"{what}: {row}" for what, query in _NEVER.items() for row in select(database, query)]
    there = {number for (number,) in select(database, "SELECT revision FROM document_commits")}
    found += [f"commit lost: {number}" for number in sorted(set(committed) - there)]
    return found


# Compare every revision with every range that covers it.
_OF_REVISION = """
    FROM document_revisions r
    JOIN {table} x ON x.first_revision <= r.number
        AND (x.until_revision IS NULL OR x.until_revision > r.number)
"""
_PLACES = _OF_REVISION.format(table="document_places")
_VERSIONS = _OF_REVISION.format(table="document_collection_versions")
_NEVER = {
    "a gap between revisions": """
        SELECT number FROM (
            SELECT number, lag(number, 1, 0::bigint) OVER (ORDER BY number) AS before
            FROM document_revisions) r WHERE number <> before + 1""",
    "a document in two collections": f"""
        SELECT r.number, x.schema, x.name, x.replacement {_PLACES}
        GROUP BY 1, 2, 3, 4 HAVING count(*) > 1""",
    "two policies": f"""
        SELECT r.number {_PLACES} WHERE x.schema LIKE 'deckhand/LayeringPolicy/%'
        GROUP BY 1 HAVING count(*) > 1""",
    "a collection with two contents": f"""
        SELECT r.number, x.collection_id {_VERSIONS} GROUP BY 1, 2 HAVING count(*) > 1""",
    "places that are not those of the contents": f"""
        (SELECT r.number, b.schema, b.name, x.collection_id {_VERSIONS}
            JOIN document_bodies b ON b.content_id = x.content_id
         EXCEPT SELECT r.number, x.schema, x.name, x.collection_id {_PLACES})
        UNION ALL
        (SELECT r.number, x.schema, x.name, x.collection_id {_PLACES}
         EXCEPT SELECT r.number, b.schema, b.name, x.collection_id {_VERSIONS}
            JOIN document_bodies b ON b.content_id = x.content_id)""",
    "a content without all its documents": """
        SELECT k.id FROM document_contents k
        WHERE k.documents_count <> (
            SELECT count(*) FROM document_bodies b WHERE b.content_id = k.id)""",
    "a revision whose digest is not that of its collections": """
        SELECT r.number FROM document_revisions r
        LEFT JOIN LATERAL (
            SELECT string_agg(c.name || ' ' || k.digest || E'\\n', '' ORDER BY c.name COLLATE "C")
                AS lines
            FROM document_collection_versions x
            JOIN document_collections c ON c.id = x.collection_id
            JOIN document_contents k ON k.id = x.content_id
            WHERE x.first_revision <= r.number
                AND (x.until_revision IS NULL OR x.until_revision > r.number)) h ON true
        WHERE r.digest <> encode(sha256(convert_to(coalesce(h.lines, ''), 'UTF8')), 'hex')""",
    "a revision without a lock": """
        SELECT r.number FROM document_revisions r
        LEFT JOIN api_locks l ON l.id = r.lock_id AND l.fence = r.fence
        WHERE l.kind IS DISTINCT FROM 'configdocs_update'""",
    "a fence that fell": """
        SELECT number FROM (
            SELECT number, fence, max(fence) OVER (ORDER BY number) AS highest
            FROM document_revisions) r WHERE fence < highest""",
    "a broken chain of events": """
        SELECT number FROM (
            SELECT number, previous_digest, lag(digest) OVER (ORDER BY number) AS before
            FROM document_events) e WHERE previous_digest IS DISTINCT FROM before""",
    "an event that was altered": """
        SELECT e.number FROM document_events e
        WHERE e.digest <> encode(sha256(convert_to(document_event_text(e), 'UTF8')), 'hex')""",
    "a revision without an event": """
        SELECT r.number FROM document_revisions r
        WHERE NOT EXISTS (
            SELECT FROM document_events e WHERE e.kind = 'revision' AND e.revision = r.number)""",
}
