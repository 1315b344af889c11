"""The ids of a process in a user namespace of its own."""

import os
import pwd

import pytest

from staging_api.embedded_postgres import unprivileged

#: An account that no system has: an id that is not mapped looks like that of nobody.
ACCOUNT = pwd.struct_passwd(("somebody", "x", 4321, 4322, "", "/", "/bin/false"))


def ids_in_namespace() -> str:
    """What a process of ours sees of its ids there; it ends at once."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            unprivileged._enter_user_namespace(ACCOUNT)
            os.write(write, f"{os.geteuid()} {os.getegid()}".encode())
        except OSError as error:
            os.write(write, f"{error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as found:
        return found.read()


def test_its_ids_are_those_of_the_account() -> None:
    seen = ids_in_namespace()
    if "not permitted" in seen or "No space" in seen:
        pytest.skip("the kernel allows no user namespace here")
    assert seen == "4321 4322"
    assert os.geteuid() != 4321
