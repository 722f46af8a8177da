"""Who works below a directory by other means than Mirrorfarm: what such a process writes gets to no other node.

It reads ``/proc`` (proc(5)). Who has a file open only to read it is not meant. A process may have the directory under
another name, as in a container (:mod:`manager.other_names`). Not seen is what was mapped and closed. What is mounted
over the directory, or was, is another file system: who works there is not meant.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manager.other_names import OtherNames

_OUR_OWN = b"replicator.main"
"""In the command line of the process that keeps a copy, and has to have its files open."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Worker:
    """A process with a file below the directory open to write it, or with its working directory there."""

    pid: int
    name: str


def workers(root: Path, directory: str) -> list[Worker]:
    """Those of this machine, in the order of their process ids; without root's rights one's own alone.

    Args:
        root: ``/``, or a test's own tree.
        directory: an absolute path.

    Raises:
        OSError: it cannot be looked at.
    """
    path = root / directory.lstrip("/")
    others = OtherNames(root, str(path), os.stat(path).st_dev)
    pids = sorted(int(p.name) for p in (root / "proc").glob("[0-9]*"))
    return [
        Worker(pid, _name(root / f"proc/{pid}")) for pid in pids if _works_in(root / f"proc/{pid}", str(path), others)
    ]


def names(found: Sequence[Worker]) -> str:
    """The first of them, for people."""
    named = ", ".join(f"{one.name} ({one.pid})" for one in found[:_NAMED])
    return f"{named} and {len(found) - _NAMED} more" if len(found) > _NAMED else named


@dataclass(frozen=True, slots=True)
class _Place:
    starts: tuple[str, ...]
    device: int

    def has(self, link: Path) -> bool:
        """Whether that link of ``/proc`` leads below it."""
        # In this order: to ask for the status of another file may have to wait for its server.
        return f"{os.readlink(link)}/".startswith(self.starts) and os.stat(link).st_dev == self.device


def _works_in(process: Path, name: str, others: OtherNames) -> bool:
    try:
        if _OUR_OWN in (process / "cmdline").read_bytes().split(b"\0"):
            return False
        place = _Place((f"{name}/", *others.of(process)), others.device)
        return place.has(process / "cwd") or any(_writes(process, place))
    except OSError:
        return False  # It has ended meanwhile, or is another user's.


def _writes(process: Path, place: _Place) -> Iterator[bool]:
    for descriptor in os.listdir(process / "fd"):
        try:
            yield place.has(process / "fd" / descriptor) and _is_open_to_write(process, descriptor)
        except OSError:
            continue  # It was closed meanwhile.


def _is_open_to_write(process: Path, descriptor: str) -> bool:
    for line in (process / "fdinfo" / descriptor).read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "flags":
            return int(value, 8) & os.O_ACCMODE != os.O_RDONLY
    return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "ended meanwhile"
