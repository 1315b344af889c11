"""One archive, two services, and a signing key for each: before and after a key rotation."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from staging_api.db.engine import Database, open_database
from staging_api.publishing.signing import SigningKey
from tests.apt import Apt
from tests.keys import public_key, signing_key, stop_agent
from tests.service import Service, service


@dataclass
class Keys:
    """Two keys, a service that signs with each, and their shared database."""

    pair: tuple[SigningKey, SigningKey]
    services: tuple[Service, Service]
    rows: Database

    def trust(self, apt: Apt, *which: int) -> str:
        """Return the option that makes apt trust exactly these keys."""
        path = apt.home / f"trusted-{'-'.join(map(str, which))}.gpg"
        # A short name: gpg creates sockets in this folder, and their paths have at most 107 bytes.
        with TemporaryDirectory(prefix="gpg-") as home:
            gpg = ["gpg", "--homedir", home, "--batch"]
            for number in which:
                subprocess.run(
                    [*gpg, "--import"],
                    input=public_key(self.pair[number]),
                    check=True,
                    capture_output=True,
                )
            exported = subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout
            stop_agent(Path(home))
        path.write_bytes(exported)
        path.chmod(0o644)
        return f"signed-by={path}"


@contextmanager
def two_keys(url: str, folder: Path) -> Iterator[Keys]:
    pair = signing_key(folder, "one"), signing_key(folder, "two")
    store = f"file://{folder}/service-0/store"
    homes = [folder / f"service-{number}" for number in range(2)]
    for home in homes:
        home.mkdir()
    signs = [{"signing_home": str(k.home), "signing_key": k.fingerprint} for k in pair]
    rows = open_database(url, 2)
    with (
        service(homes[0], url, store=store, **signs[0]) as one,
        service(homes[1], url, store=store, **signs[1]) as two,
    ):
        yield Keys(pair, (one, two), rows)
    rows.close()
    for key in pair:
        stop_agent(key.home)
