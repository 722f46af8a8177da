"""What this machine is, for a snapshot: versions, addresses, routes, our rules, mounts, room on its disks, load.

It looks, and changes nothing. The replicated directories themselves are not touched: whoever hangs there would be us.
"""

import importlib.metadata
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import manager
from manager.cli.checks.machine import mounts
from manager.cli.snapshot.collector import Collector
from manager.cli.snapshot.files import text_of
from manager.cli.snapshot.lacking import NotHad
from manager.cli.snapshot.programs import output_of
from manager.mountinfo import Mount

PROGRAM_S: Final = 5.0
REPLICATOR_S: Final = 2.0
OUR_KIND: Final = "fuse.mirrorfarm"
_ROOM: Final = ("bytes", "bytes_free", "inodes", "inodes_free")
_MOST_BYTES: Final = 1 << 20
_LIBRARIES: Final = ("cryptography", "etcd3", "grpcio", "protobuf", "pyroute2", "structlog", "uvloop", "zstandard")
_VERSIONS: Final = {
    "etcd": ("etcd", "--version"),
    "nft": ("nft", "--version"),
    "ip": ("ip", "-V"),
    "openssl": ("openssl", "version"),
    "systemd": ("systemctl", "--version"),
}
_NETWORK: Final = {
    "addresses": ("ip", "-d", "address"),
    "links": ("ip", "-s", "link"),
    "routes": ("ip", "route", "show", "table", "all"),
    "routes6": ("ip", "-6", "route", "show", "table", "all"),
    "rules": ("ip", "rule"),
    "neighbours": ("ip", "neighbour"),
}
_FILES: Final = {
    "mounts": "proc/self/mountinfo",
    "memory": "proc/meminfo",
    "load": "proc/loadavg",
    "uptime": "proc/uptime",
    "os-release": "etc/os-release",
    "pressure-io": "proc/pressure/io",
    "pressure-cpu": "proc/pressure/cpu",
    "pressure-memory": "proc/pressure/memory",
}
TABLE_PREFIX: Final = "mirrorfarm_"
"""What the names of our tables of nftables begin with."""
_TABLE: Final = re.compile(rf"table (?P<family>\w+) (?P<name>{TABLE_PREFIX}\S+)")
_NO_LOCAL_DISK: Final = re.compile(
    r"fuse.*|nfs.*|cifs|smb.*|ceph|9p|afs|autofs|proc|sysfs|cgroup.*|devpts|mqueue|debugfs|tracefs|securityfs|pstore|bpf"
    r"|configfs|hugetlbfs|binfmt_misc|rpc_pipefs|nsfs|fusectl|efivarfs"
)
"""Whoever asks for the room there may wait for somebody else, or there is none."""


def take_machine(collector: Collector, root: Path) -> None:
    """Everything about this machine; ``root`` is ``/``, or a test's own tree."""
    collector.record("machine/versions.json", versions)
    for name, path in _FILES.items():
        collector.text(f"machine/{name}.txt", _reading(root / path))
    collector.record("machine/space.json", lambda: space(mounts(root)))
    for name, argv in _NETWORK.items():
        collector.text(f"network/{name}.txt", _running(argv))
    collector.text("network/nft.txt", our_rules)


def versions() -> dict[str, Any]:
    """Of what runs here."""
    found: dict[str, Any] = {
        "mirrorfarm": manager.__version__,
        "python": sys.version,
        "kernel": " ".join(os.uname()),
        "libc": " ".join(platform.libc_ver()),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    for library in _LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = None
    for name, argv in _VERSIONS.items():
        try:
            found[name] = output_of(argv, PROGRAM_S).strip()
        except NotHad as lack:
            found[name] = f"unknown: {lack}"
    return found


def space(mounted: list[Mount]) -> list[dict[str, Any]]:
    """What room and how many inodes are left on this machine's own disks, and in replicated directories."""
    on_top = {mount.point: mount for mount in mounted}  # The last one at a place covers those before it.
    ours = tuple(point for point, mount in on_top.items() if mount.kind == OUR_KIND)
    found = []
    for point, mount in on_top.items():
        if point.startswith(ours):
            measure = _asked_room  # Through a replicator, which may hang: a program can be left to that, and this not.
        elif _NO_LOCAL_DISK.fullmatch(mount.kind):
            continue
        else:
            measure = _room
        try:
            room: dict[str, Any] = dict(zip(_ROOM, measure(point), strict=True))
        except (OSError, NotHad) as lack:
            room = {"unknown": str(lack)}
        found.append({"mount": point, "kind": mount.kind, "source": mount.source, **room})
    return found


def _room(point: str) -> tuple[int, ...]:
    told = os.statvfs(point)
    return told.f_blocks * told.f_frsize, told.f_bavail * told.f_frsize, told.f_files, told.f_favail


def _asked_room(point: str) -> tuple[int, ...]:
    blocks, free, size, inodes, inodes_free = map(
        int, output_of(("stat", "-f", "-c", "%b %a %S %c %d", point), REPLICATOR_S).split()
    )
    return blocks * size, free * size, inodes, inodes_free


def our_rules() -> str:
    """The tables of nftables that are ours, and no other ones. Raises NotHad."""
    listed = output_of(("nft", "list", "tables"), PROGRAM_S)
    tables = [output_of(("nft", "list", "table", m["family"], m["name"]), PROGRAM_S) for m in _TABLE.finditer(listed)]
    return "".join(tables) or "There is no table of Mirrorfarm's.\n"


def _reading(path: Path) -> Callable[[], str]:
    return lambda: text_of(str(path), _MOST_BYTES, follow=True)


def _running(argv: tuple[str, ...]) -> Callable[[], str]:
    return lambda: output_of(argv, PROGRAM_S)
