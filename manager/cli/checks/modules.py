"""A module on this machine: its directories, their file systems, its services, its interfaces, what shares a farm."""

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from manager import fstab
from manager.cli.checks.bridges import farm_on_bridge
from manager.cli.checks.finding import Finding, error, ok, warning
from manager.cli.checks.machine import service_exists, starts_at_boot
from manager.model.config import AnyModule, ModuleConfig
from manager.mountinfo import Mount
from manager.open_files import names, workers

PROBE_XATTR = b"trusted.mirrorfarm"
"""Only read: the directory may be in use."""

_NAMED = 3
_LOW_SPACE = 0.05
_TRACKED_HIGH = 0.5
_TRACKING = "proc/sys/net/netfilter/nf_conntrack_"
_PROGRAMS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
"""Where the agent looks for what it runs."""


def module(config: AnyModule, root: Path, mounted: list[Mount]) -> Iterator[Finding]:
    """Everything about one module on this machine.

    Args:
        config: the module.
        root: ``/``, or a test's own tree; the module's directories are looked for below it.
        mounted: this machine's mounts.
    """
    if isinstance(config, ModuleConfig):
        yield from _data(config, root, mounted)
    else:
        yield _sharing(config.name, root)
        yield from _tracking(config.name, root)
        for address in config.addresses:
            yield from farm_on_bridge(config.name, address, root)
    for service in config.services:
        yield _service(config.name, service, root)
    for interface in sorted({a.interface for a in config.addresses} - {""}):
        if not (root / "sys/class/net" / interface).exists():
            yield error(
                f"{config.name}: address",
                f"There is no interface {interface} on this machine.",
                "Correct interface in module.toml, or leave it out: then the subnet decides.",
            )


def _data(config: ModuleConfig, root: Path, mounted: list[Mount]) -> Iterator[Finding]:
    for directory in config.directories:
        yield from _directory(f"{config.name}: {directory}", directory, root, mounted)
    for path in config.must_exist:
        if not _below(root, path).exists():
            yield warning(
                f"{config.name}: must_exist",
                f"{path} is not there: this node would not become primary.",
                "Mount its file system, or copy the data there; on a node that has no copy yet it comes by itself.",
            )


def _directory(subject: str, directory: str, root: Path, mounted: list[Mount]) -> Iterator[Finding]:
    path = _below(root, directory)
    if not path.is_dir():
        yield error(subject, "There is no such directory on this machine.", f"mkdir -p {directory}")
        return
    if path.resolve() != root.resolve() / directory.lstrip("/"):
        yield error(
            subject,
            f"A symbolic link leads to {path.resolve()}.",
            "Name the directory itself in module.toml: a link would be in front of what is mounted.",
        )
        return
    lacking = fstab.unmounted(fstab.read(str(root / "etc/fstab")), {m.point for m in mounted}, directory)
    if lacking:
        yield error(
            subject,
            f"{lacking} is not mounted, which /etc/fstab has mounted there: without it this is another disk, without "
            "the data. The module does not start so.",
            f"mount {lacking}, or take its line out of /etc/fstab.",
        )
        return
    inside = [m.point for m in mounted if m.point.startswith(f"{directory}/")]
    if inside:
        yield error(
            subject,
            f"Another file system is mounted inside it: {', '.join(inside[:3])}.",
            "Name the directories between the mounts, or mount it elsewhere.",
        )
        return
    covering = [m for m in mounted if m.point == directory]
    if covering and covering[-1].kind.startswith("fuse"):
        yield ok(subject, "in use: the replicated file system is mounted on it")
        return
    problem = xattr_problem(path)
    if problem:
        yield error(
            subject,
            f"Its file system has no trusted extended attributes ({problem}): files could not be identified.",
            "Use ext4, xfs or btrfs on a local disk, and be root.",
        )
        return
    foreign = subvolumes(path)
    if foreign:
        yield warning(
            subject,
            f"Inside it are subvolumes, or other file systems: {', '.join(foreign)}. What is in them is not mirrored, "
            "and cannot be reached while the module serves.",
            "Make plain directories of them, or have them elsewhere.",
        )
    yield from _others(subject, directory, root)
    yield from _space(subject, path)


def _others(subject: str, directory: str, root: Path) -> Iterator[Finding]:
    """Who works there though nothing is mounted: an application that somebody else has started."""
    found = workers(root, directory)
    if found:
        yield error(
            subject,
            f"A process works in it that Mirrorfarm has not started: {names(found)}. What it writes gets to no other "
            "node, also when the module is started meanwhile.",
            "Stop it before the module is started, and leave its start to the module; leave the directory with a shell "
            "that is in it.",
        )


def xattr_problem(path: Path) -> str:
    """Why ``path`` cannot have a ``trusted.`` attribute; empty: it can. Nothing is written."""
    try:
        os.getxattr(path, PROBE_XATTR)
    except OSError as failure:
        # Without CAP_SYS_ADMIN the kernel says ENODATA too (xattr(7)); the command says that it wants root.
        return "" if failure.errno == errno.ENODATA else os.strerror(failure.errno or 0)
    return ""


def subvolumes(path: Path) -> list[str]:
    """The first of the names in ``path`` that stand for another file system than its own. Raises OSError."""
    device = path.stat().st_dev
    with os.scandir(path) as entries:
        found = (e.name for e in entries if e.is_dir(follow_symlinks=False) and _device(e) not in (device, None))
        return list(itertools.islice(found, _NAMED))


def _device(entry: "os.DirEntry[str]") -> int | None:
    """``None``: it has gone meanwhile."""
    try:
        return entry.stat(follow_symlinks=False).st_dev
    except FileNotFoundError:
        return None


def _sharing(name: str, root: Path) -> Finding:
    subject = f"{name}: nftables"
    if not any((root / place / "nft").exists() for place in _PROGRAMS):
        return error(subject, "There is no program nft: connections could not be shared.", "Install nftables.")
    return ok(subject, "nft is there")


def _tracking(name: str, root: Path) -> Iterator[Finding]:
    """Whether the kernel has room for connections; where it tracks none yet, nothing can be said."""
    try:
        used, most = (int((root / (_TRACKING + which)).read_text()) for which in ("count", "max"))
    except FileNotFoundError:
        return
    if used >= most * _TRACKED_HIGH:
        yield warning(
            f"{name}: connections",
            f"The kernel has room to keep track of {most:,} connections, of which {used:,} are in use (those that "
            "have just ended, too). When there is none left, what begins is dropped.",
            "Raise net.netfilter.nf_conntrack_max (sysctl).",
        )


def _space(subject: str, path: Path) -> Iterator[Finding]:
    space = os.statvfs(path)
    if space.f_blocks and space.f_bavail / space.f_blocks < _LOW_SPACE:
        yield warning(
            subject,
            f"Its file system has {100 * space.f_bavail // space.f_blocks} % left; the fuller of both nodes is the "
            "limit of both.",
            "Make room before the application is refused its writes.",
        )
    elif space.f_files and space.f_favail / space.f_files < _LOW_SPACE:
        yield warning(subject, "Its file system has hardly an inode left.", "Make room: remove files.")
    else:
        yield ok(subject, "there, with trusted extended attributes and room")


def _service(name: str, service: str, root: Path) -> Finding:
    subject = f"{name}: service {service}"
    if not service_exists(root, service):
        return error(subject, "The system has no such service.", "Install it, or correct services in module.toml.")
    if starts_at_boot(root, service):
        return warning(
            subject,
            "It starts at boot, by itself, also where the module is to be stopped; of a mirror it would find no data "
            "there, or old data.",
            f"systemctl disable {service}, or update-rc.d {service} disable: the module starts it where it belongs.",
        )
    return ok(subject, "there, and not started at boot")


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
