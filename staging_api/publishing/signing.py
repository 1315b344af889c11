"""Signatures on a Release, made by gpg in a separate home directory.

There are three outcomes, because clients see the difference:

- `SignedRelease`: InRelease and Release.gpg for exactly these bytes.
- `UnsignedRelease`: no key is configured, or this machine has no gpg. The Release is published
  without these two files, and older signatures must be dropped: a stale one is worse than none.
- `SigningFailed`: there is a key, but gpg did not sign. Publishing without a signature would lock
  out all clients, so the run has to stop instead.

gpg starts an agent for its home directory and leaves it running. The running agent makes the
signatures (`key_agent`) without starting a program; gpg itself makes those that the agent cannot.
If the process dies, the agent ends itself once its directory is removed.
"""

import logging
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from staging_api.errors import SigningFailed
from staging_api.publishing.key_agent import (
    AgentKey,
    AgentUnavailable,
    agent_key,
    key_lists_of,
    listed_keys,
)
from staging_api.publishing.openpgp import clear_signed, detached

log = logging.getLogger(__name__)

#: Two signatures take 20 ms; even with a slow start of the agent on a busy machine, far less than
#: this limit.
TIMEOUT_SECONDS = 30.0
#: Listing a public key takes 5 ms; /metrics and pages wait for it after a change of gpg's keys.
_LISTING_SECONDS = 5.0

# gpg.conf is for interactive use: it could name a digest that no client accepts, or a second key. A
# key with a passphrase would make the agent wait for input forever.
_ALWAYS = ("--no-options", "--batch", "--no-tty", "--pinentry-mode", "error")
_DIGEST = ("--digest-algo", "SHA512")
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class SigningKey:
    """A secret key in a gpg home directory.

    Attributes:
        home: the directory; only its owner may read it. At most about 80 characters long, because
            gpg creates sockets in it, whose paths must be short.
        fingerprint: fingerprint of the key to sign with.
        program: gpg, by name or path.
    """

    home: Path
    fingerprint: str
    program: str = "gpg"


@dataclass(frozen=True)
class SignedRelease:
    """The two signed forms of one Release: clearsigned, and the detached signature."""

    in_release: bytes
    release_gpg: bytes


@dataclass(frozen=True)
class UnsignedRelease:
    """No signature was made, for this reason."""

    reason: str


def signer_of(key: SigningKey | None) -> str | None:
    """Return the key's fingerprint; empty if none is configured, None if unavailable here."""
    if key is None:
        return ""
    at_hand = key.home.is_dir() and shutil.which(key.program, path=_PATH)
    return key.fingerprint if at_hand else None


def expires_at(key: SigningKey | None) -> datetime | None:
    """Return when clients stop trusting the key: the earlier expiry of it and its primary key.

    None if it never expires, no key is configured, or it is unavailable here. gpg is called only
    after a change of its list of keys, such as an extension of the key.

    Raises:
        SigningFailed: gpg does not list the key.
    """
    return _expiry(key, key_lists_of(key.home)) if key and signer_of(key) else None


def check_expiry(key: SigningKey, now: datetime) -> None:
    """Check that the key has not expired: clients refuse its signatures then, old ones as well.

    A key that gpg does not list passes: signing with it has a better error.

    Raises:
        SigningFailed: it has expired.
    """
    try:
        expiry = expires_at(key)
    except SigningFailed as error:
        log.debug("the expiry of the key is unknown: %s", error.detail)
        return
    if expiry is not None and now >= expiry:
        raise SigningFailed(
            f"the key {key.fingerprint} has expired at {expiry}: extend it with"
            f" `gpg --quick-set-expire {key.fingerprint} 2y`, or sign with another, and give"
            " clients the public key"
        )


def sign(
    release: bytes,
    key: SigningKey | None,
    at: datetime | None = None,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> SignedRelease | UnsignedRelease:
    """Sign a Release, if a key is available.

    Args:
        release: text of the Release.
        key: the key to sign with.
        at: time of the signatures, also used to check the key's expiry; None: the time of this
            machine. Clients refuse signatures with a time in their future.
        timeout_seconds: time limit for gpg.

    Raises:
        SigningFailed: there is a key, but it has expired, or gpg did not sign with it in time.
    """
    if key is None:
        return UnsignedRelease("no signing key is configured")
    if not key.home.is_dir():
        return UnsignedRelease(f"there is no gpg home directory at {key.home}")
    now = at or datetime.now(UTC)
    check_expiry(key, now)
    try:
        return _by_agent(release, key, int(now.timestamp()))
    except AgentUnavailable as error:
        log.debug("gpg signs itself: %s", error)
    deadline = time.monotonic() + timeout_seconds
    # The ``!`` selects exactly this key or subkey. Without it gpg prefers the newest subkey that
    # can sign.
    user = ["--armor", *_DIGEST, *_clock(at), "--local-user", f"{key.fingerprint}!"]
    try:
        try:
            return _both_at_once(release, key, user, timeout_seconds)
        except SigningFailed as error:
            # gpg-agent 2.2.40, called twice at its start, has answered "Unmatched parentheses in
            # S-expression" on a busy machine. Signing one after the other shows whether the key is
            # at fault.
            if time.monotonic() >= deadline:
                raise
            log.warning("signing is tried again: %s", error.detail)
            rest = max(deadline - time.monotonic(), 1.0)
            detached = _gpg(key, [*user, "--detach-sign"], release, rest)
            return SignedRelease(_gpg(key, [*user, "--clearsign"], release, rest), detached)
    except FileNotFoundError:
        return UnsignedRelease(f"{key.program} is not installed")


def list_key(key: SigningKey) -> str:
    """Return gpg's listing of the key and its subkeys, in the format ``--with-colons``.

    Raises:
        SigningFailed: gpg does not have the key.
    """
    listing = ["--with-colons", "--with-keygrip", "--list-secret-keys", key.fingerprint]
    return _gpg(key, listing, b"", TIMEOUT_SECONDS).decode(errors="replace")


def list_own_signatures(key: SigningKey) -> str:
    """Return gpg's listing of the key, its names and subkeys, with the key's own signatures.

    Raises:
        SigningFailed: gpg does not have the key.
    """
    listing = ["--with-colons", "--check-sigs", key.fingerprint]
    return _gpg(key, listing, b"", TIMEOUT_SECONDS).decode(errors="replace")


def _clock(at: datetime | None) -> list[str]:
    """Return gpg options that set its clock to a fixed time."""
    return [] if at is None else ["--faked-system-time", f"{int(at.timestamp())}!"]


def _by_agent(release: bytes, key: SigningKey, now: int) -> SignedRelease:
    """Make both signatures by the agent.

    Raises:
        AgentUnavailable: the agent is not running yet, or cannot sign with this key.
    """
    found = _agent_key(key, key_lists_of(key.home))
    with found.signing(now) as by_key:
        return SignedRelease(
            clear_signed(release, found.issuer, by_key, now),
            detached(release, found.issuer, by_key, now),
        )


@lru_cache(maxsize=16)
def _expiry(key: SigningKey, _key_lists: object) -> datetime | None:
    """Return the expiry of a key; looked up again whenever gpg's list of keys has changed.

    Raises:
        SigningFailed: gpg does not list the key.
    """
    # The public key alone: without the agent, whose start could take long.
    listing = ["--with-colons", "--with-keygrip", "--list-keys", key.fingerprint]
    keys = list(listed_keys(_gpg(key, listing, b"", _LISTING_SECONDS).decode(errors="replace")))
    own = [each for each in keys if each is keys[0] or each.fingerprint == key.fingerprint]
    expiries = [int(each.expires_at) for each in own if each.expires_at]
    return datetime.fromtimestamp(min(expiries), UTC) if expiries else None


@lru_cache(maxsize=16)
def _agent_key(key: SigningKey, _key_lists: object) -> AgentKey:
    """Return the key for its agent; looked up again whenever gpg's list of keys has changed.

    Raises:
        AgentUnavailable: the agent cannot sign with the key.
    """
    where = ["gpgconf", "--homedir", str(key.home), "--list-dirs", "agent-socket"]
    try:
        keys = list_key(key)
        found = subprocess.run(where, check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
    except (SigningFailed, OSError, subprocess.SubprocessError) as error:
        raise AgentUnavailable(str(error)) from None
    # gpgconf percent-escapes the path.
    return agent_key(keys, key.fingerprint, unquote(found.stdout.decode().strip()))


def _both_at_once(
    release: bytes, key: SigningKey, user: list[str], timeout_seconds: float
) -> SignedRelease:
    """Make both signatures in parallel, because most of the time is spent on starting gpg."""
    with ThreadPoolExecutor(1, "gpg") as other:
        detached = other.submit(_gpg, key, [*user, "--detach-sign"], release, timeout_seconds)
        in_release = _gpg(key, [*user, "--clearsign"], release, timeout_seconds)
        return SignedRelease(in_release, detached.result())


def _gpg(key: SigningKey, arguments: list[str], data: bytes, timeout_seconds: float) -> bytes:
    argv = [key.program, "--homedir", str(key.home), *_ALWAYS, *arguments]
    try:
        done = subprocess.run(
            argv,
            input=data,
            capture_output=True,
            check=False,
            timeout=timeout_seconds,
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise SigningFailed(f"gpg did not finish within {timeout_seconds} s") from error
    if done.returncode or not done.stdout:
        raise SigningFailed(f"gpg: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout
