"""Under which other names a machine's processes have a directory: bind mounts, and volumes of containers.

What is written there goes to the same files, and below whatever is mounted over the directory afterwards: a mount comes
to others' namespaces only where those follow this one, and a container's mostly do not. What is mounted read-only is
not meant. It reads ``/proc`` (proc_pid_mountinfo(5)) and asks no file system. Where that has another device than
stat(2), as of btrfs, it finds none.
"""

import os
from pathlib import Path
from typing import Final

from manager import mountinfo
from manager.mountinfo import Mount


class OtherNames:
    """Of one directory. Each namespace's mounts are read once."""

    def __init__(self, root: Path, directory: str, device: int) -> None:
        """``root`` is ``/``, or a test's own tree; ``device``: st_dev of ``directory``."""
        self.device: Final = device
        self._directory = directory
        self._device = f"{os.major(device)}:{os.minor(device)}"
        self._known: dict[str, tuple[str, ...]] = {}
        self._inside: str | None = None
        """Where the directory is in its file system."""
        try:
            mine, mounts = _namespace(root / "proc/self"), _mounts(root / "proc/self")
        except OSError:
            return
        above = [m for m in mounts if m.device == self._device and _below(directory, m.point) is not None]
        if above:
            nearest = max(above, key=lambda mount: len(mount.point))
            self._inside = _joined(nearest.root, _below(directory, nearest.point) or "")
            self._known[mine] = self._names(mounts)

    def of(self, process: Path) -> tuple[str, ...]:
        """Those that the process of this directory of ``/proc`` has, each with a slash at its end.

        None where its mounts cannot be read: it has ended meanwhile, or is another user's.
        """
        if self._inside is None:
            return ()
        try:
            namespace = _namespace(process)
            if namespace not in self._known:
                self._known[namespace] = self._names(_mounts(process))
        except OSError:
            return ()
        return self._known[namespace]

    def _names(self, mounts: list[Mount]) -> tuple[str, ...]:
        assert self._inside is not None
        names = set()
        for mount in mounts:
            if mount.device != self._device:
                continue
            if (rest := _below(self._inside, mount.root)) is not None:
                names.add(_joined(mount.point, rest))
            elif _below(mount.root, self._inside) is not None:
                names.add(mount.point)
        return tuple(f"{name.rstrip('/')}/" for name in sorted(names - {self._directory}))


def _below(path: str, above: str) -> str | None:
    """The rest of ``path`` where it is ``above`` or lies in it."""
    start = above.rstrip("/")
    return path[len(start) :].strip("/") if f"{path}/".startswith(f"{start}/") else None


def _joined(above: str, rest: str) -> str:
    return os.path.join(above, rest) if rest else above


def _namespace(process: Path) -> str:
    return os.readlink(process / "ns/mnt")


def _mounts(process: Path) -> list[Mount]:
    """Those that can be written to."""
    return [mount for mount in mountinfo.read(process / "mountinfo") if "ro" not in mount.options]
