"""A real apt client confined to one folder: the machine's own apt configuration is not used."""

import os
import subprocess
from pathlib import Path

_CONFIGURATION = """
Dir "{home}/";
Dir::State::status "{home}/status";
Dir::Bin::methods "/usr/lib/apt/methods/";
Dir::Bin::dpkg "/usr/bin/dpkg";
DPkg::Options {{ "--root={home}/root"; "--force-not-root"; "--force-script-chrootless"; }};
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; "arm64"; }};
APT::Sandbox::User "{user}";
Acquire::Languages "none";
Acquire::http::Proxy "false";
Acquire::Retries "0";
Debug::NoLocking "true";
"""

_FOLDERS = (
    "var/lib/apt/lists/partial",
    "var/cache/apt/archives/partial",
    "var/log/apt",
    "etc/apt/apt.conf.d",
    "etc/apt/preferences.d",
    "etc/apt/trusted.gpg.d",
    "root/var/lib/dpkg",
)


class Apt:
    """The complete apt configuration and state of one simulated machine, in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for folder in _FOLDERS:
            (home / folder).mkdir(parents=True)
        (home / "status").touch()
        (home / "root/var/lib/dpkg/status").touch()
        user = "root" if os.getuid() == 0 else ""
        (home / "apt.conf").write_text(_CONFIGURATION.format(home=home, user=user))

    def use(
        self,
        url: str,
        options: str = "trusted=yes",
        kind: str = "deb",
        of: str = "stable main contrib",
    ) -> None:
        """Make this the only configured repository, with the suite and components in `of`."""
        line = f"{kind} [{options}] {url}/ {of}\n"
        (self.home / "etc/apt/sources.list").write_text(line)

    def run(self, *argv: str, program: str = "apt-get") -> "subprocess.CompletedProcess[str]":
        """Run an apt program, and return its result whatever its exit code."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        environment["APT_CONFIG"] = str(self.home / "apt.conf")
        return subprocess.run(
            [program, *argv],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def update(self) -> "subprocess.CompletedProcess[str]":
        """Run `apt-get update`; a warning counts as failure."""
        return self.run("update", "--error-on=any")

    def names(self) -> list[str]:
        """Return the names of all packages that apt knows."""
        return sorted(self.run("pkgnames", program="apt-cache").stdout.split())
