"""Machines of a lab that have nothing of Mirrorfarm, and what is on their disks: for tests of an installation.

The lab lends its machines this checkout and the files that an administrator writes. Here they are taken away again:
the checkout and its environment are covered, the lab's files removed, its mounts for ours taken off, so that a machine
has its system's packages and no more. Each start of a machine brings the lab's mounts back, and asks for it anew.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from manager.lab.host import PATH, look
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from tests.support.lab import MEMORY

CONFIG = "/etc/mirrorfarm/agent.toml"
AT = "/opt/bundle"
"""Where a machine has the bundle."""
_MOUNTED = ("/etc/mirrorfarm", "/var/log/mirrorfarm")
"""Not /var/lib/mirrorfarm: there the lab has to find the machine's disk when it takes its power away."""
_LAID = (
    "/usr/local/bin/mirrorfarm*", "/etc/init.d/mirrorfarm-agent", "/etc/logrotate.d/mirrorfarm",
    "/etc/default/mirrorfarm",
)  # fmt: skip
_DISK = "/mnt"
_LIST = """\
import hashlib, json, os, stat, sys
top, listed = sys.argv[1], {}
for place, folders, files in os.walk(top):
    for name in folders + files:
        path = os.path.join(place, name)
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            what = "to " + os.readlink(path)
        elif stat.S_ISREG(mode):
            with open(path, "rb") as file:
                what = hashlib.sha256(file.read()).hexdigest()
        else:
            what = stat.filemode(mode)[0]
        listed["/" + os.path.relpath(path, top)] = what
print(json.dumps(listed))
"""


@dataclass(frozen=True)
class Bare:
    """A machine without this checkout."""

    node: RunningMachine
    config: str
    """What its administrator writes into agent.toml."""
    entering: tuple[str, ...] = ()
    """The command that leads into namespaces of its own on the machine, where something runs in such."""

    def run(self, *argv: str, seconds: float = 60.0) -> str:
        """The output of a command on it, which finds what a machine's own PATH finds.

        Raises:
            LabError: it failed.
        """
        return self.node.run([*self.entering, "env", f"PATH={PATH}", *argv], seconds=seconds)

    def shell(self, script: str, seconds: float = 60.0) -> str:
        """The output of a script for ``/bin/sh``."""
        return self.run("sh", "-euc", script, seconds=seconds)

    def refuses(self, *argv: str) -> str:
        """What is said on standard error by a command that fails; all in one."""
        done = subprocess.run(
            self.node.command([*self.entering, "env", f"PATH={PATH}", *argv]),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode != 0, done
        return done.stdout + done.stderr

    def bare(self) -> None:
        """Take away what the lab lends, after each start of the machine."""
        host = look()
        covered = [host.project] if Path(host.prefix).is_relative_to(host.project) else [host.project, host.prefix]
        self.shell(
            "".join(f"umount {path}; " for path in _MOUNTED)
            + "".join(f"mount -t tmpfs -o ro none {path}; " for path in covered)
        )

    def listing(self) -> dict[str, str]:
        """All that its system disk has beside the host's own root: path to what it is.

        Directories that the host has too are left out: there they mean that something in them was changed.
        """
        self.shell(f"mount $(findmnt -no SOURCE /var/lib/etcd | sed 's/\\[.*//') {_DISK}")
        try:
            listed = json.loads(self.run("python3", "-c", _LIST, f"{_DISK}/changed"))
        finally:
            self.run("umount", _DISK)
        assert isinstance(listed, dict)
        return {path: what for path, what in listed.items() if what != "d" or not os.path.isdir(path)}

    def boot_by_sysv(self) -> str:
        """What init's rc does when the machine has started: what runlevel 2 has of ours."""
        return self.shell(
            "for script in /etc/rc2.d/S*mirrorfarm*; do "
            '[ ! -e "$script" ] || RUNLEVEL=2 PREVLEVEL=N "$script" start; done'
        )

    def shut_down_by_sysv(self) -> str:
        """What rc does when the machine is halted."""
        return self.shell("for script in /etc/rc0.d/K*mirrorfarm*; do RUNLEVEL=0 PREVLEVEL=2 $script stop; done")

    def programs(self) -> list[str]:
        """The command lines of all processes of Mirrorfarm's on it."""
        lines = self.run("ps", "-e", "-o", "args=").splitlines()
        return [line for line in lines if "mirrorfarm-agent" in line or "replicator" in line]


def make_bare(lab: Lab, name: str, bundle: Path) -> Bare:
    """The machine ``name`` without anything of Mirrorfarm's, and with a bundle."""
    node = lab.node(name)
    machine = Bare(node, node.run(["cat", CONFIG]))
    node.run(["mkdir", AT])
    packed = subprocess.run(["tar", "-cC", bundle, "."], capture_output=True, timeout=60, check=True)
    subprocess.run(node.command(["tar", "-xC", AT]), input=packed.stdout, capture_output=True, timeout=60, check=True)
    node.run(["sh", "-c", f"rm -rf {' '.join(_LAID)}"])
    machine.bare()
    node.run(["rmdir", *_MOUNTED])
    left = node.run(["sh", "-c", "ls -A /etc /opt /usr/local/bin /var/log; find /var/lib/mirrorfarm -mindepth 1"])
    assert "mirrorfarm" not in left
    return machine


def roomy_directory(otherwise: Path) -> Path:
    """Where files are written quickly."""
    return MEMORY if MEMORY.is_dir() else otherwise
