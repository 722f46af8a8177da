"""Settings of the kernel (sysctl) that go badly with what is done here. ``root`` is ``/``, or a test's own tree."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from manager.cli.checks.finding import Finding, warning
from manager.cli.checks.ports import Port

_FUSE_TIMEOUTS: Final = ("fs.fuse.max_request_timeout", "fs.fuse.default_request_timeout")
_HUNG_PANIC: Final = "kernel.hung_task_panic"
_RANGE, _RESERVED = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"


def held_writes(root: Path) -> Iterator[Finding]:
    """What makes a failure of a write that is only held: while a node is dropped, or etcd is away, it may take long."""
    for name in _FUSE_TIMEOUTS:
        if seconds := value(root, name, "0"):
            yield warning(
                name,
                f"A write that is held for {seconds} s (the other node was lost, and etcd does not answer) is no error "
                "here, and the kernel ends the replicated file system for it: the application fails.",
                f"sysctl -w {name}=0, and take it out of /etc/sysctl.d.",
            )
    if value(root, _HUNG_PANIC, "0"):
        yield warning(
            _HUNG_PANIC,
            "The kernel panics when a process waits for two minutes (kernel.hung_task_timeout_secs). One that writes "
            "to a file while another one's write to it is held does (the other node was lost, and etcd does not "
            "answer): this machine would restart, and not serve.",
            f"sysctl -w {_HUNG_PANIC}=0, and take it out of /etc/sysctl.d.",
        )


def taken_ports(root: Path, wanted: Iterable[Port]) -> Iterator[Finding]:
    """Which of ``wanted`` the kernel may give to a connection that goes out, so that nobody can listen there then."""
    bounds = value(root, _RANGE, "").split()
    if len(bounds) != 2:
        return
    reserved = _reserved(value(root, _RESERVED, ""))
    for port in wanted:
        if port.lasts and int(bounds[0]) <= port.number <= int(bounds[1]) and port.number not in reserved:
            yield warning(
                port.name,
                f"It is of those that the kernel gives to connections that go out ({_RANGE}: {bounds[0]} to "
                f"{bounds[1]}). When one has it nobody can listen there. It is for {port.what_for}. {port.without}",
                f"Add it to {_RESERVED} (in /etc/sysctl.d), or {port.setting}",
            )


def _reserved(text: str) -> set[int]:
    found = set[int]()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def value(root: Path, name: str, plain: str) -> str:
    """What a setting is; empty: it is ``plain``, or this kernel has none of that name."""
    try:
        text = (root / "proc/sys" / name.replace(".", "/")).read_text().strip()
    except OSError:
        return ""
    return "" if text == plain else text
