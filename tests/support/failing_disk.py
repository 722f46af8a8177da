"""Disks that lose what the kernel writes back: loop devices over a file on a small tmpfs that is filled up.

One stops taking whatever is new, its own journal soon included. The other takes everything but the content of one file.
"""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from replicator.core.filesystem import PUNCH_HOLE
from replicator.disk import linux
from tests.support.unmounting import unmount_everywhere

_BACKING_MIB = 200
_SIZE_MIB = 600
"""Of the file system; far more than its backing holds."""
_WHOLE_MIB = {"ext4": 64, "xfs": 304}
_FILLED_MIB = 16
"""Beside one that has all its room."""
_BLOCKS = {"ext4": ("-F", "-b", "4096"), "xfs": ()}
"""As large as pages: a loop device takes a write for done of which its file had room for a part."""
_EXTENT = re.compile(r"\s*\d+:\s*\d+\.\.\s*\d+:\s*(?P<start>\d+)\.\.\s*\d+:\s*(?P<length>\d+):")


@dataclass(frozen=True)
class FailingDisk:
    """``path`` is where the file system is mounted; others only see errors of writeback."""

    path: Path
    _backing: Path

    def fail(self) -> None:
        """From now on whatever needs a new block of the backing fails when the kernel writes it back."""
        self._sync()
        self._fill()

    def lose(self, file: Path) -> None:
        """From now on what is written to ``file`` fails when the kernel writes it back; its blocks read as zeros."""
        self._sync()
        image = os.open(self._image, os.O_RDWR)
        for start, length in _extents(file):
            linux.fallocate(image, PUNCH_HOLE, start, length)
        os.close(image)
        self._fill()

    def content(self, file: Path) -> bytes:
        """What is on the disk of ``file``, past every cache of its file system."""
        self._sync()
        with open(self._image, "rb") as image:
            return b"".join(os.pread(image.fileno(), length, start) for start, length in _extents(file))

    def heal(self) -> None:
        """Takes everything again."""
        (self._backing / "filler").unlink(missing_ok=True)

    def come_back(self) -> None:
        """As after a start of the node: what is in memory only is gone. Nobody works on it, or is below it."""
        unmount_everywhere(self.path, self._image)
        _mount("-o", "loop", str(self._image), str(self.path))

    @property
    def _image(self) -> Path:
        return self._backing / "image"

    def _sync(self) -> None:
        subprocess.run(["sync", "--file-system", str(self.path)], check=True)

    def _fill(self) -> None:
        file = os.open(self._backing / "filler", os.O_WRONLY | os.O_CREAT)
        block = bytes(1 << 20)
        while block:
            try:
                if not os.write(file, block):
                    break
            except OSError:
                block = block[: len(block) // 2]
        os.close(file)


def _extents(file: Path) -> list[tuple[int, int]]:
    """Where the blocks of ``file`` are on its device: starts and lengths, in bytes."""
    shown = subprocess.run(["filefrag", "-e", "-b1", str(file)], check=True, capture_output=True, text=True).stdout
    found = [_EXTENT.match(line) for line in shown.splitlines()]
    return [(int(extent["start"]), int(extent["length"])) for extent in found if extent]


@contextlib.contextmanager
def failing_disk(kind: str, whole: bool = False) -> Iterator[FailingDisk]:
    """A new file system of that kind (ext4, xfs), healthy as yet.

    ``whole``: a small one which has all its room, so that only what is told to be lost is.
    """
    size_mib = _WHOLE_MIB[kind] if whole else _SIZE_MIB
    backing_mib = size_mib + _FILLED_MIB if whole else _BACKING_MIB
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mirrorfarm-failing-")))
        base.chmod(0o755)
        backing, target = base / "backing", base / "mounted"
        for directory in (backing, target):
            directory.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={backing_mib}m", "tmpfs", str(backing))
        # The loop device may let go of its file later: a namespace that was made meanwhile has the mount, too.
        stack.callback(_unmount, str(backing), "--lazy")
        image = backing / "image"
        with open(image, "wb") as file:
            file.truncate(size_mib << 20)
        subprocess.run([f"mkfs.{kind}", "-q", *_BLOCKS[kind], str(image)], check=True)
        if whole:
            with open(image, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size_mib << 20)
        _mount("-o", "loop", str(image), str(target))
        stack.callback(_unmount, str(target))
        disk = FailingDisk(target, backing)
        stack.callback(disk.heal)
        yield disk


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _unmount(target: str, *options: str) -> None:
    subprocess.run(["umount", *options, target], check=True)
