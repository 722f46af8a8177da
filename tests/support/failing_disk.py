"""A disk that stops taking what is new: a loop device over a sparse file, on a small tmpfs that is filled up."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BACKING_MIB = 200
_SIZE_MIB = 600
"""Of the file system; far more than its backing holds."""


@dataclass(frozen=True)
class FailingDisk:
    """``path`` is where the file system is mounted; others only see errors of writeback."""

    path: Path
    _backing: Path

    def fail(self) -> None:
        """From now on whatever needs a new block of the backing fails when the kernel writes it back."""
        subprocess.run(["sync", "--file-system", str(self.path)], check=True)
        file = os.open(self._backing / "filler", os.O_WRONLY | os.O_CREAT)
        block = bytes(1 << 20)
        while block:
            try:
                if not os.write(file, block):
                    break
            except OSError:
                block = block[: len(block) // 2]
        os.close(file)

    def heal(self) -> None:
        """Takes everything again."""
        (self._backing / "filler").unlink(missing_ok=True)


@contextlib.contextmanager
def failing_disk(kind: str) -> Iterator[FailingDisk]:
    """A new file system of that kind (ext4, xfs), healthy as yet."""
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mirrorfarm-failing-")))
        base.chmod(0o755)
        backing, target = base / "backing", base / "mounted"
        for directory in (backing, target):
            directory.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={_BACKING_MIB}m", "tmpfs", str(backing))
        # The loop device may let go of its file later: a namespace that was made meanwhile has the mount, too.
        stack.callback(_unmount, str(backing), "--lazy")
        image = backing / "image"
        with open(image, "wb") as file:
            file.truncate(_SIZE_MIB << 20)
        subprocess.run([f"mkfs.{kind}", "-q", *(["-F"] if kind == "ext4" else []), str(image)], check=True)
        _mount("-o", "loop", str(image), str(target))
        stack.callback(_unmount, str(target))
        disk = FailingDisk(target, backing)
        stack.callback(disk.heal)
        yield disk


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _unmount(target: str, *options: str) -> None:
    subprocess.run(["umount", *options, target], check=True)
