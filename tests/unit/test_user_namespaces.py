"""The ids of a process in a user namespace of its own."""

import os
import subprocess
import sys

import pytest

#: An account that no system has: an id that is not mapped looks like that of nobody.
#: In a new process: the kernel refuses one with a second thread, which a fork of this may have.
ENTER = """
import os, pwd
from staging_api.embedded_postgres import unprivileged
try:
    unprivileged._enter_user_namespace(
        pwd.struct_passwd(("somebody", "x", 4321, 4322, "", "/", "/bin/false"))
    )
    print(os.geteuid(), os.getegid())
except OSError as error:
    print(error)
"""


def test_its_ids_are_those_of_the_account() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENTER], capture_output=True, text=True, check=True, timeout=60
    )
    seen = done.stdout.strip()
    if "not permitted" in seen or "No space" in seen:
        pytest.skip("the kernel allows no user namespace here")
    assert seen == "4321 4322"
    assert os.geteuid() != 4321
