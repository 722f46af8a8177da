"""This machine: kernel, FUSE, cgroup2, clock, the agent's start at boot. ``root`` is ``/``, or a test's own tree."""

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

from manager import mountinfo
from manager.cli.checks.finding import Finding, error, note, ok, warning
from manager.cli.checks.kernel_settings import held_writes
from manager.mountinfo import Mount

_LEAST_KERNEL = (5, 14)
"""cgroup.kill (5.14) and FUSE_HANDLE_KILLPRIV_V2 (5.11)."""

_TIMEX_BYTES = 512
"""Larger than any struct timex (adjtimex(2))."""
_TIME_ERROR = 5


def machine(root: Path, release: str, clock_state: int) -> Iterator[Finding]:
    """Everything about this machine.

    Args:
        root: where ``proc``, ``dev``, ``etc`` are.
        release: as of ``uname -r``.
        clock_state: what adjtimex(2) returned.
    """
    yield kernel(release)
    yield fuse(root)
    yield from held_writes(root)
    yield cgroup2(mounts(root))
    yield clock(clock_state)
    yield agent_at_boot(root)


def kernel(release: str) -> Finding:
    """Whether the kernel is new enough."""
    match = re.match(r"(\d+)\.(\d+)", release)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < _LEAST_KERNEL:
        least = ".".join(map(str, _LEAST_KERNEL))
        return error("kernel", f"Linux {release} is older than {least}.", f"Install a kernel of {least} or newer.")
    return ok("kernel", f"Linux {release}")


def fuse(root: Path) -> Finding:
    """Whether the kernel has FUSE and its device is there."""
    # Where it is a module nobody has needed yet, as on a fresh Debian without systemd, this loads it.
    with contextlib.suppress(OSError):
        os.close(os.open(root / "dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    kinds = _read(root / "proc/filesystems").split()
    if "fuse" not in kinds:
        return error("FUSE", "The kernel has no FUSE: replicated directories cannot be mounted.", "modprobe fuse")
    if not (root / "dev/fuse").exists():
        return error("FUSE", "/dev/fuse is not there.", "mknod -m 666 /dev/fuse c 10 229, or let udev make it.")
    return ok("FUSE", "/dev/fuse is there")


def cgroup2(mounted: list[Mount]) -> Finding:
    """Whether cgroup2 is mounted and can be written: applications are killed through it."""
    found = [m for m in mounted if m.kind == "cgroup2"]
    remedy = "mount -t cgroup2 none /sys/fs/cgroup/unified, or start with systemd.unified_cgroup_hierarchy=1."
    if not found:
        return error("cgroup2", "It is not mounted: what is left of an application could not be killed.", remedy)
    writable = [m for m in found if "ro" not in m.options]
    if not writable:
        return error("cgroup2", f"It is mounted read-only on {found[0].point}.", "Run the agent outside the container.")
    return ok("cgroup2", f"mounted on {writable[0].point}")


def clock(state: int) -> Finding:
    """Whether something keeps the wall clock right; only people read it."""
    if state == _TIME_ERROR:
        return note(
            "clock",
            "Nothing keeps this machine's clock right. No decision depends on it, but times in logs and in the "
            "history may not agree between the nodes.",
            "Install chrony or systemd-timesyncd.",
        )
    if state < 0:
        return note("clock", "It could not be asked whether the clock is kept right.")
    return ok("clock", "kept right")


def agent_at_boot(root: Path) -> Finding:
    """Whether the agent starts with the machine."""
    if starts_at_boot(root, "mirrorfarm-agent"):
        return ok("boot", "the agent starts with the machine")
    return warning(
        "boot",
        "The agent does not start with the machine: after a reboot this node would stay away.",
        "mirrorfarm boot on",
    )


def service_exists(root: Path, service: str) -> bool:
    """Whether the system has a service of that name."""
    unit = service if service.endswith(".service") else f"{service}.service"
    template = re.sub(r"@.*\.service$", "@.service", unit)
    places = ("etc/systemd/system", "lib/systemd/system", "usr/lib/systemd/system", "run/systemd/generator.late")
    if any(os.path.lexists(root / place / name) for place in places for name in (unit, template)):
        return True
    return (root / "etc/init.d" / service.removesuffix(".service")).exists()


def starts_at_boot(root: Path, service: str) -> bool:
    """Whether init starts it: a link in an rc directory of SysV's, or in a ``.wants`` of systemd's.

    The links decide, so that this can be asked of a system whose init does not run.
    """
    bare = service.removesuffix(".service")
    sysv = any((root / "etc").glob(f"rc[2-5].d/S[0-9][0-9]{_literal(bare)}"))
    units = root / "etc/systemd/system"
    return sysv or any(os.path.lexists(wants / f"{bare}.service") for wants in units.glob("*.wants"))


def mounts(root: Path) -> list[Mount]:
    """All mounts of this mount namespace; none where ``/proc`` is not there. Raises DefiniteFailure, as its reader."""
    try:
        return mountinfo.read(root / "proc/self/mountinfo")
    except FileNotFoundError:
        return []


def adjtimex_state() -> int:
    """The state of the kernel's clock (adjtimex(2)): 5 when nothing keeps it right, -1 when it cannot be asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))


def _literal(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""
