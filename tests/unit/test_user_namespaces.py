"""Root's change for PostgreSQL: into a user namespace, or to other ids."""

import os
import subprocess
import sys

import pytest

#: An account that no system has: an unmapped id would look like that of nobody.
ACCOUNT = """
import os, pwd
from pathlib import Path
from staging_api.embedded_postgres import unprivileged
account = pwd.struct_passwd(("somebody", "x", 4321, 4322, "", "/", "/bin/false"))
"""
#: The kernel's requirements, written differently from the code under test.
ALLOWED = """
import ctypes
given = {"setgroups": "deny", "gid_map": f"5 {os.getegid()} 1", "uid_map": f"6 {os.geteuid()} 1"}
entered = ctypes.CDLL(None).unshare(0x10000000) == 0
try:
    for name, text in given.items():
        Path("/proc/self", name).write_text(text)
except OSError:
    entered = False
print("allowed" if entered else "refused")
"""
ENTER = """
unprivileged._enter_user_namespace(account)
print(os.geteuid(), os.getegid())
"""
CHANGE = """
os.setgroups([7, 8])
unprivileged._change_user(account)
print(*os.getresuid(), *os.getresgid(), os.getgroups())
for line in Path("/proc/self/status").read_text().splitlines():
    name, _, value = line.partition(":")
    if name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        print(name, int(value, 16))
"""


def said_by(program: str) -> list[str]:
    """Return the output of a program in a new process: the kernel refuses one with threads."""
    done = subprocess.run(
        [sys.executable, "-c", ACCOUNT + program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_ids_in_the_user_namespace_are_those_of_the_account() -> None:
    if said_by(ALLOWED) == ["refused"]:
        pytest.skip("the kernel allows no user namespace here")
    assert said_by(ENTER) == ["4321 4322"]
    assert os.geteuid() != 4321


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the ids of another")
def test_of_all_that_root_may_it_keeps_to_open_folders() -> None:
    ids, *capabilities = said_by(CHANGE)
    assert ids == "4321 4321 4321 4322 4322 4322 []"
    opens_folders = 1 << 1  # CAP_DAC_OVERRIDE
    names = ("CapInh", "CapPrm", "CapEff", "CapAmb")
    assert capabilities == [f"{name} {opens_folders}" for name in names]
