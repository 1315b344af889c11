"""Protocol of gpg's agent: commands, responses, and choice of a key from gpg's list.

Real agents are tested in `tests/integration/publishing/test_key_agent.py`; rare or impossible
responses of an agent are sent here by a socket of the test.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from staging_api.publishing.key_agent import (
    AgentKey,
    AgentUnavailable,
    agent_key,
    key_lists_of,
)
from staging_api.publishing.openpgp import Issuer

RSA, ECDSA, EDDSA = 1, 19, 22
NOW = 1_700_000_000
HELLO = b"OK Pleased to meet you"
#: The commands before the signing command.
PREPARED = [HELLO, b"OK", b"OK", b"OK"]


class Agent:
    """Agent that sends one prepared response for each line that it reads; the first at once."""

    def __init__(self, path: str, answers: Sequence[bytes]) -> None:
        self.heard: list[bytes] = []
        self._answers = answers
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen()
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def close(self) -> None:
        # Ends the wait for a connection that did not come.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._listening.close()

    def _talk(self) -> None:
        with suppress(OSError):
            self._answer()

    def _answer(self) -> None:
        connection, _ = self._listening.accept()
        with connection, connection.makefile("rb") as lines:
            for number, answer in enumerate(self._answers):
                if number:
                    self.heard.append(lines.readline())
                connection.sendall(answer + b"\n")


@pytest.fixture
def agent() -> Iterator[Callable[..., tuple[Agent, AgentKey]]]:
    """Return a factory of an agent with these responses, and a key of this algorithm in it."""
    made: list[Agent] = []
    with TemporaryDirectory(prefix="agent-") as folder:

        def make(*answers: bytes, algorithm: int = RSA) -> tuple[Agent, AgentKey]:
            path = str(Path(folder) / "S")
            made.append(Agent(path, answers))
            return made[-1], AgentKey(path, "AAAA", Issuer(algorithm, bytes(20)), 0)

        yield make
        for each in made:
            each.close()


def test_the_agent_is_told_which_key_and_which_digest_and_not_to_ask_anybody(agent):
    running, key = agent(*PREPARED, b"D (7:sig-val(3:rsa(1:s3:abc)))\nOK")
    with key.signing(NOW) as sign:
        assert sign(b"\xabc") == [b"abc"]
    assert running.heard == [
        b"OPTION pinentry-mode=error\n",
        b"SIGKEY AAAA\n",
        b"SETHASH 10 AB63\n",
        b"PKSIGN\n",
    ]


@pytest.mark.parametrize(
    ("algorithm", "answer", "numbers"),
    [
        (RSA, b"(7:sig-val(3:rsa(1:s3:abc)))", [b"abc"]),
        (3, b"(7:sig-val(3:rsa(1:s3:abc)))", [b"abc"]),
        (ECDSA, b"(7:sig-val(5:ecdsa(1:r2:ab)(1:s2:cd)))", [b"ab", b"cd"]),
        (EDDSA, b"(7:sig-val(5:eddsa(1:r2:ab)(1:s2:cd)))", [b"ab", b"cd"]),
        # Only two adjacent words are a name and its value.
        (RSA, b"(1:s3:abc)(1:s3:two(1:x1:y))(1:s3:one5:three)(1:s)", [b"abc"]),
        # A value may contain a character that is a separator elsewhere.
        (RSA, b"(1:s12:)(1:s3:abc)()", [b")(1:s3:abc)("]),
    ],
)
def test_the_numbers_of_a_signature_are_read_from_its_expression(
    agent, algorithm: int, answer: bytes, numbers: list[bytes]
):
    _, key = agent(*PREPARED, b"D " + answer + b"\nOK", algorithm=algorithm)
    with key.signing(NOW) as sign:
        assert sign(b"x") == numbers


def test_an_answer_may_come_in_pieces_with_remarks_and_what_is_escaped(agent):
    answer = b"S PROGRESS\n# a remark\nD (1:s4:%25%0\x41\nD %0Dx)\nOK all of it"
    _, key = agent(*PREPARED, answer)
    with key.signing(NOW) as sign:
        assert sign(b"x") == [b"%\n\rx"]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([b"ERR 1 not today"], "ERR 1 not today$"),
        ([HELLO, b"ERR 2 no such option"], "ERR 2"),
        ([HELLO, b"OK", b"ERR 3 no such key"], "ERR 3"),
        ([HELLO, b"OK", b"OK", b"ERR 4 no such digest"], "ERR 4"),
        ([*PREPARED, b"INQUIRE PINENTRY"], "INQUIRE"),
        ([*PREPARED, b"OK"], "another kind of signature"),
        ([*PREPARED, b"D (1:r3:abc)\nOK"], "another kind of signature"),
        ([HELLO, b"OK"], "closed the connection|reset|Broken pipe"),
    ],
)
def test_an_agent_that_does_not_sign_says_why(agent, answers: list[bytes], why: str):
    _, key = agent(*answers)
    with pytest.raises(AgentUnavailable, match=why), key.signing(NOW) as sign:
        sign(b"x")


def test_an_agent_that_says_nothing_is_not_waited_for(monkeypatch, tmp_path: Path):
    monkeypatch.setattr("staging_api.publishing.key_agent._TIMEOUT_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "S"))
        silent.listen()
        key = AgentKey(str(tmp_path / "S"), "AAAA", Issuer(RSA, bytes(20)), 0)
        with pytest.raises(AgentUnavailable, match="timed out"), key.signing(NOW):
            pass


def test_an_agent_that_does_not_run_is_unavailable():
    key = AgentKey("/nowhere", "AAAA", Issuer(RSA, bytes(20)), 0)
    with pytest.raises(AgentUnavailable, match="No such file"), key.signing(NOW):
        pass


def test_the_agent_signs_nothing_before_the_key_was_made() -> None:
    key = AgentKey("/nowhere", "", Issuer(22, bytes(20)), NOW + 10)
    with pytest.raises(AgentUnavailable, match="believe"), key.signing(NOW):
        pass


LISTED = """tru::1:1700000000:0:3:1:5
sec:{validity}:255:{kind}:00:100:::-:::scSC:::{token}::{curve}:::0:
fpr:::::::::{one}:
grp:::::::::AAAA:
uid:-::::100::0000::Ada::::::::::0:
ssb:u:255:22:01:200:900:::::s:::+::ed25519::
fpr:::::::::{two}:
grp:::::::::BBBB:
"""
ONE, TWO = "1" * 40, "2" * 40


def listed(**given: str) -> str:
    by_default = {"validity": "-", "kind": "22", "token": "+", "curve": "ed25519"}
    return LISTED.format(**{**by_default, **given}, one=ONE, two=TWO)


def test_a_key_of_the_agent_is_read_from_gpgs_listing() -> None:
    key = agent_key(listed(token="#"), TWO, "/socket")
    assert key == AgentKey("/socket", "BBBB", Issuer(22, bytes.fromhex(TWO)), 200)
    key = agent_key(listed(), ONE, "/socket")
    assert (key.keygrip, key.created_at) == ("AAAA", 100)


@pytest.mark.parametrize(
    "given",
    [
        *({"validity": "e"}, {"validity": "r"}, {"token": "#"}, {"token": "D276"}),
        *({"curve": "ed448"}, {"kind": "17"}, {"kind": ""}),
    ],
    ids=["expired", "revoked", "elsewhere", "on a card", "other curve", "DSA", "unknown"],
)
def test_a_key_that_the_agent_cannot_sign_with_is_left_to_gpg(given: dict[str, str]) -> None:
    with pytest.raises(AgentUnavailable):
        agent_key(listed(**given), ONE, "/socket")


@pytest.mark.parametrize("validity", "erdi")
def test_a_subkey_of_a_key_that_is_no_longer_good_is_left_to_gpg(validity: str) -> None:
    with pytest.raises(AgentUnavailable):
        agent_key(listed(validity=validity), TWO, "/socket")


def test_a_key_that_is_not_listed_is_left_to_gpg() -> None:
    with pytest.raises(AgentUnavailable):
        agent_key(listed(), "3" * 40, "/socket")


def test_a_key_is_looked_up_again_when_a_list_of_keys_changes_and_not_for_other_files(
    tmp_path: Path,
) -> None:
    (tmp_path / "public-keys.d").mkdir()
    seen = {key_lists_of(tmp_path)}
    for name in ("pubring.gpg", "pubring.kbx", "public-keys.d/pubring.db"):
        for content in ("", "a key"):
            (tmp_path / name).write_text(content)
            seen.add(key_lists_of(tmp_path))
            (tmp_path / "trustdb.gpg").write_text(name + content)
            assert key_lists_of(tmp_path) in seen
    assert len(seen) == 7
