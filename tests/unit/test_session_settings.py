"""Settings of a transaction, such as the acting caller, end with it: the next transaction of the
session may be another caller's."""

import re
from pathlib import Path

import staging_api
from staging_api.db.sessions import CONNECT_ARGS, SETTINGS, Session

PACKAGE = Path(staging_api.__file__).parent
#: Files that set values for a whole session, before it serves any caller.
FOR_SESSIONS = {"db/sessions.py"}


def third_arguments(text: str) -> list[str]:
    """Return the third argument of every set_config call: whether it is for the transaction."""
    found = []
    for call in re.finditer(r"\bset_config\(", text):
        depth, end = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        found.append(text[call.end() : end - 1].rpartition(",")[2].strip())
    return found


def test_each_setting_of_a_transaction_is_for_it_alone() -> None:
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sql")]
    found = {
        path.relative_to(PACKAGE).as_posix(): third_arguments(path.read_text()) for path in files
    }
    found = {name: each for name, each in found.items() if each and name not in FOR_SESSIONS}
    assert len(found) > 5
    assert {argument for each in found.values() for argument in each} == {"true"}


def test_a_dead_peer_is_given_up_within_what_a_write_may_wait() -> None:
    """Otherwise a reading session hangs for longer than a writing one."""
    silent = CONNECT_ARGS["keepalives_idle"]
    probed = CONNECT_ARGS["keepalives_count"] * CONNECT_ARGS["keepalives_interval"]
    assert CONNECT_ARGS["tcp_user_timeout"] == 15_000
    assert 10 <= silent + probed <= 15


def test_the_first_packet_has_no_setting_that_some_servers_would_refuse() -> None:
    sent = Session("postgresql://db.example/x", {}).arguments["options"]
    kept_back = {name for name in SETTINGS if name not in sent}
    of_newer_servers = {
        *("idle_session_timeout", "transaction_timeout", "restrict_nonsystem_relation_kind")
    }
    assert kept_back == {*of_newer_servers, "session_replication_role", "client_encoding"}
