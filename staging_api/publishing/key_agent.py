"""Signing through a running gpg-agent, which has the key, so that no program has to start.

gpg needs nearly all of the 8 ms of a signature for starting; its agent signs in half a millisecond.
Only the agent ever reads the secret key. gpg is asked once for the key and its expiry, and again
whenever gpg's list of keys changes.

`AgentUnavailable` means that gpg signs instead, or reports the error: the agent is not running yet,
was ended, or needs a passphrase; or the key is on a card, or is neither RSA, ECDSA nor ed25519.

What if the agent dies? The connection breaks, and gpg starts another agent for the next signature.
"""

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from staging_api.publishing.openpgp import Issuer, SignDigest

_TIMEOUT_SECONDS = 5.0
_SHA512 = 10
#: Names of the numbers in a signature, by key algorithm in RFC 4880: RSA, ECDSA, EdDSA.
_NUMBERS: Mapping[int, tuple[bytes, ...]] = {
    1: (b"s",),
    3: (b"s",),
    19: (b"r", b"s"),
    22: (b"r", b"s"),
}
_EDDSA, _ED25519 = 22, "ed25519"
_FINGERPRINT_OCTETS = 20
#: Files of gpg's list of keys: before version 2.1, since then, and with its daemon.
_KEY_LISTS = ("pubring.gpg", "pubring.kbx", "public-keys.d/pubring.db")
#: gpg's marks for a secret key that is present; other marks mean on a card, or missing.
_IN_THE_AGENT = ("", "+")
#: gpg's marks for expired, revoked, disabled and invalid keys.
_UNUSABLE = frozenset("erdi")
_ATOM = re.compile(rb"(\d+):")


class AgentUnavailable(Exception):
    """The agent cannot sign with this key now, so gpg must."""


@dataclass(frozen=True)
class AgentKey:
    """A key that the agent can sign with.

    Attributes:
        socket: path of the agent's socket.
        keygrip: the agent's name for the key.
        created_at: start of the key's validity; seconds since 1970.
    """

    socket: str
    keygrip: str
    issuer: Issuer
    created_at: int

    @contextmanager
    def signing(self, now: float) -> Iterator[SignDigest]:
        """Connect to the agent for signatures made at `now`, in seconds since 1970.

        Raises:
            AgentUnavailable: the agent does not answer, or does not sign.
        """
        if now < self.created_at:
            raise AgentUnavailable("clients would not believe the key now")
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_TIMEOUT_SECONDS)
                connection.connect(self.socket)
                with connection.makefile("rb") as answers:
                    agent = _Agent(connection, answers)
                    agent.answer()
                    # The agent must not ask a person for a passphrase.
                    agent.ask("OPTION pinentry-mode=error")
                    yield lambda digest: self._numbers(agent, digest)
        except OSError as error:
            raise AgentUnavailable(f"gpg-agent: {error}") from None

    def _numbers(self, agent: "_Agent", digest: bytes) -> Sequence[bytes]:
        agent.ask(f"SIGKEY {self.keygrip}")
        agent.ask(f"SETHASH {_SHA512} {digest.hex().upper()}")
        found = dict(_pairs(agent.ask("PKSIGN")))
        try:
            return [found[name] for name in _NUMBERS[self.issuer.algorithm]]
        except KeyError:
            raise AgentUnavailable("gpg-agent gave another kind of signature") from None


def agent_key(listing: str, fingerprint: str, socket_path: str) -> AgentKey:
    """Return the key that the agent can sign with.

    Args:
        listing: listing of the key by gpg's ``--with-colons --with-keygrip``.
        fingerprint: fingerprint of the key, or of the subkey that is to sign.
        socket_path: path of the agent's socket.

    Raises:
        AgentUnavailable: the agent cannot sign with this key.
    """
    keys = list(listed_keys(listing))
    found = next((each for each in keys if each.fingerprint == fingerprint), None)
    if found is None or not _can_sign(found) or _UNUSABLE & {keys[0].validity, found.validity}:
        raise AgentUnavailable("it is no key that the agent can sign with")
    return AgentKey(
        socket=socket_path,
        keygrip=found.keygrip,
        issuer=Issuer(int(found.algorithm), bytes.fromhex(fingerprint)),
        created_at=int(found.created_at),
    )


@dataclass(frozen=True)
class ListedKey:
    """A key or subkey from gpg's listing; the fields are described in gpg's DETAILS.

    Attributes:
        token: location of the secret: empty or ``+``: here, ``#``: missing, otherwise on a card.
    """

    validity: str
    bits: int
    algorithm: str
    created_at: str
    expires_at: str
    uses: str
    token: str
    curve: str
    fingerprint: str
    keygrip: str


def listed_keys(colons: str) -> Iterator[ListedKey]:
    """Yield keys and their subkeys from gpg's ``--with-colons --with-keygrip``."""
    fields: list[str] = []
    fingerprint = ""
    for line in colons.splitlines():
        kind, *values = line.split(":")
        if kind in ("sec", "ssb", "pub", "sub"):
            fields = values
        elif kind == "fpr":
            fingerprint = values[8]
        elif kind == "grp":
            yield ListedKey(
                validity=fields[0],
                bits=int(fields[1] or 0),
                algorithm=fields[2],
                created_at=fields[4],
                expires_at=fields[5],
                uses=fields[10],
                token=fields[13],
                curve=fields[15],
                fingerprint=fingerprint,
                keygrip=values[8],
            )


def key_lists_of(home: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, time and size of gpg's key lists: these change when a key changes."""
    found = []
    for name in _KEY_LISTS:
        with suppress(OSError):
            status = (home / name).stat()
            found.append((name, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _can_sign(key: ListedKey) -> bool:
    """Return whether the agent has the secret itself, and `openpgp` supports its signatures."""
    known = key.algorithm.isdigit() and int(key.algorithm) in _NUMBERS
    is_v4 = len(key.fingerprint) == 2 * _FINGERPRINT_OCTETS
    other_curve = key.algorithm == str(_EDDSA) and key.curve != _ED25519
    return known and is_v4 and not other_curve and key.token in _IN_THE_AGENT


@dataclass(frozen=True)
class _Agent:
    """A connection to gpg's agent, which speaks the Assuan protocol."""

    connection: socket.socket
    answers: BinaryIO

    def ask(self, command: str) -> bytes:
        self.connection.sendall(command.encode() + b"\n")
        return self.answer()

    def answer(self) -> bytes:
        """Return the data of a response.

        Raises:
            AgentUnavailable: the response is not a success.
        """
        data = b""
        for line in self.answers:
            word, _, rest = line.rstrip(b"\n").partition(b" ")
            if word == b"OK":
                return data
            if word == b"D":
                # Assuan escapes ``%``, CR and LF in data like URLs.
                data += unquote_to_bytes(rest)
            elif word not in (b"S", b"#"):
                # ERR; or INQUIRE, a question that only a person could answer.
                raise AgentUnavailable(f"gpg-agent: {line.decode(errors='replace').strip()}")
        raise AgentUnavailable("gpg-agent closed the connection")


def _pairs(expression: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and values of an S-expression: pairs of atoms alone in parentheses."""
    atoms: list[bytes] = []
    at = 0
    while at < len(expression):
        if atom := _ATOM.match(expression, at):
            at = atom.end() + int(atom[1])
            atoms.append(expression[atom.end() : at])
            continue
        if expression[at : at + 1] == b")" and len(atoms) == len(("name", "value")):
            yield atoms[0], atoms[1]
        atoms, at = [], at + 1
