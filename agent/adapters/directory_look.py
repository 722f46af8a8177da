"""What a replicated directory is on this machine: its file system, the owners of what is in it, how fast its disk is.

Nothing is left behind: what is written has no name, and one block of it. A directory that is in use is left alone, but
for its names: what is in front of its files is asked for nothing else. Its disk is asked beside it, where that is the
same file system, and else where its replicator has it open. Every call may hang with its disk: who asks waits in
:mod:`agent.adapters.one_thread`.
"""

import errno
import grp
import itertools
import os
import pwd
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.adapters.host import FUSE_TYPE, leftovers
from manager import mountinfo
from manager.model.api_check import MOST_OWNERS, DirectoryFacts, Owner, OwnerHere, OwnerKind
from manager.mountinfo import Mount

PRIVATE: Final = ".mirrorfarm"
MOST_NAMES: Final = 1000
"""Of a directory, that are looked at."""
FSYNCS: Final = 8
FSYNC_BYTES: Final = 4096
FSYNC_S: Final = 0.4
"""Of one file system; the last one may take longer."""
ALL_FSYNCS_S: Final = 1.2
"""Of all file systems together."""
LEAST_FREE_BYTES: Final = 64 << 20
"""With less nothing is written."""
_TRUSTED: Final = "trusted.mirrorfarm"
_ACCESS_LIST: Final = "system.posix_acl_access"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a directory's file system can be asked."""

    path: str
    """Empty: by no name but through what is in front of its files."""
    file_system: str
    in_use: bool


def look(
    directories: Iterable[DirectoryFacts],
    told: Callable[[DirectoryFacts], None],
    replicator_of: Callable[[str], int | None],
) -> None:
    """Tell all that there is to say of each of ``directories``, of which module, path and nodes are known.

    One that has been looked at is told of once before the disks are timed, and once more after. ``replicator_of``: the
    process that replicates a module here; ``None``: none.
    """
    mounts = mountinfo.read()
    places: list[tuple[DirectoryFacts, Place]] = []
    for directory in directories:
        place = place_of(directory.path, mounts)
        if not place.path:
            pid = replicator_of(directory.module)
            place = replace(place, path="" if pid is None else opened_by(pid, directory.path, mounts))
        try:
            places.append((_looked_at(directory, place), place))
        except OSError as error:
            places.append((replace(directory, problem=_words(error)), replace(place, path="")))
        told(places[-1][0])
    timed: dict[int, DirectoryFacts] = {}
    end_s = time.monotonic() + ALL_FSYNCS_S
    for found, place in places:
        if place.path:
            told(_timed(found, place.path, timed, end_s))


def place_of(path: str, mounts: Sequence[Mount]) -> Place:
    """Where the file system of the directory ``path`` can be asked; of this machine's ``mounts``."""
    ours = leftovers(list(mounts), [path])
    if ours:
        below = next((m for m in mounts if m.mount_id == ours[-1].parent_id), None)
        beside = os.path.dirname(path) if below is not None and below.point != path else ""
        return Place(beside, "" if below is None else below.kind, in_use=True)
    around = [m for m in mounts if os.path.commonpath((m.point, path)) == m.point]
    nearest = max(around, key=lambda m: len(m.point), default=None)
    top = [m for m in around if nearest is not None and m.point == nearest.point]
    return Place(path, top[-1].kind if top else "", in_use=False)


def opened_by(pid: int, path: str, mounts: Sequence[Mount]) -> str:
    """The directory ``path`` as the process ``pid`` has it open, below all that is mounted on it; empty: it has not.

    That is a link in proc(5) by which the directory itself is reached, and goes with the process.
    """
    in_front = {mount.device for mount in mounts if mount.kind == FUSE_TYPE}
    descriptors = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(descriptors):
            found = os.path.join(descriptors, name)
            if _link(found) == path and _device(found) not in in_front:
                return found
    except OSError:
        return ""  # It has ended.
    return ""


def _link(path: str) -> str:
    """Empty: it is gone."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def _device(path: str) -> str:
    """As mountinfo has it. (That of a btrfs is another one there: so it is not compared with the mount's own.)"""
    device = os.stat(path).st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def _looked_at(directory: DirectoryFacts, place: Place) -> DirectoryFacts:
    found = replace(directory, file_system=place.file_system, owners=owners_in(directory.path))
    if not place.path:
        return replace(found, problem="it is in use, a file system of its own, and no replicator has it open")
    space = os.statvfs(place.path)
    return replace(
        found,
        total_bytes=space.f_blocks * space.f_frsize,
        free_bytes=space.f_bavail * space.f_frsize,
        trusted_attributes=has_attribute(place.path, _TRUSTED),
        access_lists=has_attribute(place.path, _ACCESS_LIST),
    )


def has_attribute(path: str, name: str) -> bool:
    """Whether what is at ``path`` can have the extended attribute ``name``. Nothing is written. Raises OSError."""
    try:
        os.getxattr(path, name)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return True
        if error.errno == errno.EOPNOTSUPP:
            return False
        raise
    return True


def owners_in(path: str) -> tuple[Owner, ...]:
    """To whom the directory ``path`` and what is directly in it belong. Raises OSError."""
    found: dict[tuple[OwnerKind, int], None] = {}
    for status in itertools.islice(_statuses(path), MOST_NAMES):
        found[OwnerKind.USER, status.st_uid] = None
        found[OwnerKind.GROUP, status.st_gid] = None
    return tuple(Owner(kind, number, name_of(kind, number)) for kind, number in sorted(found)[:MOST_OWNERS])


def _statuses(path: str) -> Iterator[os.stat_result]:
    yield os.stat(path)
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name != PRIVATE:
                try:
                    yield entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # It has been removed meanwhile.


def owners_here(owners: Iterable[Owner]) -> tuple[OwnerHere, ...]:
    """What each of another node's ``owners`` is on this one."""
    return tuple(OwnerHere(owner, _number_of(owner), name_of(owner.kind, owner.number)) for owner in owners)


def name_of(kind: OwnerKind, number: int) -> str:
    """Who has ``number`` here; empty: nobody."""
    try:
        return pwd.getpwuid(number).pw_name if kind is OwnerKind.USER else grp.getgrgid(number).gr_name
    except (KeyError, OverflowError):
        return ""


def _number_of(owner: Owner) -> int | None:
    try:
        if owner.kind is OwnerKind.USER:
            return pwd.getpwnam(owner.name).pw_uid
        return grp.getgrnam(owner.name).gr_gid
    except (KeyError, ValueError):
        return None


def _timed(found: DirectoryFacts, path: str, timed: dict[int, DirectoryFacts], end_s: float) -> DirectoryFacts:
    """With how long an fsync takes; ``timed``: by device, each of which is asked once."""
    try:
        device = os.stat(path).st_dev
        if device not in timed:
            seconds = min(FSYNC_S, end_s - time.monotonic())
            timed[device] = replace(found, fsync_us=None, fsyncs=0, problem="")
            timed[device] = _with_times(timed[device], fsync_times_us(path, seconds))
    except OSError as error:
        return replace(found, problem=f"its disk was not timed: {_words(error)}")
    known = timed[device]
    return replace(found, fsync_us=known.fsync_us, fsyncs=known.fsyncs, problem=known.problem)


def _with_times(found: DirectoryFacts, times_us: list[int]) -> DirectoryFacts:
    if not times_us:
        return replace(found, problem="its disk was not timed: others took the time that there is for that")
    return replace(found, fsync_us=int(statistics.median(times_us)), fsyncs=len(times_us))


def fsync_times_us(path: str, seconds: float) -> list[int]:
    """How long each of some small writes takes until it is on the disk of the directory ``path``, for ``seconds``.

    Raises:
        OSError: there is too little room for it (``ENOSPC``), or it cannot be written there.
    """
    space = os.statvfs(path)
    if space.f_bavail * space.f_frsize < LEAST_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    times_us: list[int] = []
    end_s = time.monotonic() + seconds
    # A file without a name, which nobody sees and which goes with its descriptor, whatever ends this.
    file = os.open(path, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while len(times_us) < FSYNCS and time.monotonic() < end_s:
            begun_ns = time.monotonic_ns()
            os.pwrite(file, bytes([len(times_us)]) * FSYNC_BYTES, 0)
            os.fsync(file)
            times_us.append((time.monotonic_ns() - begun_ns) // 1000)
    finally:
        os.close(file)
    return times_us


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
