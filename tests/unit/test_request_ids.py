"""Request ids: unique within a process and across its forks."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from staging_api.http.request_ids import new_request_id


def test_ids_are_unique_among_threads_and_sort_within_a_process() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: new_request_id(), range(5000)))
    assert len(set(found)) == 5000
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}-\d{1,16}", each) for each in found)
    assert len({each.partition("-")[0] for each in found}) == 1


def test_a_forked_process_has_ids_of_its_own() -> None:
    ours = new_request_id()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, new_request_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as said:
        theirs = said.read()
    assert theirs.endswith("-1")
    assert theirs.partition("-")[0] != ours.partition("-")[0]
