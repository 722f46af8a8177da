"""Where two file systems are compared: a plain directory, a mirrored one, and the mirrored one's other copy.

What serves the mirrored directory is the fixture's matter; tests are the same for the file system alone and for a pair
of replicators.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.support.trees import assert_equal_trees, snapshot


@dataclass(frozen=True)
class Grounds:
    """Absolute paths, all of them directories that everyone may search."""

    plain: str
    mounted: str
    copy: str
    """Another view of what is mounted: the files below it, or the secondary's."""
    settle: Callable[[], None]
    """Waits until the copies' times are equal too: two rests."""

    def check_copy(self, directory: str, exact_times: bool = False) -> None:
        """The copy of ``directory``, a path below the mount, is equal to it."""
        here = snapshot(os.path.join(self.mounted, directory), exact_times)
        there = snapshot(os.path.join(self.copy, directory), exact_times)
        assert_equal_trees(here, there)


@contextlib.contextmanager
def loop_mounted(kind: str, size_mib: int) -> Iterator[str]:
    """A new file system of that kind (ext4, xfs) on a loop device; the directory it is mounted on."""
    directory = tempfile.mkdtemp(prefix="mirrorfarm-fs-")
    image, target = os.path.join(directory, "image"), os.path.join(directory, "mounted")
    try:
        os.chmod(directory, 0o755)
        os.mkdir(target)
        with open(image, "wb") as file:
            file.truncate(size_mib << 20)
        options = ["-q", "-F", "-b", "4096"] if kind == "ext4" else ["-q"]
        subprocess.run([f"mkfs.{kind}", *options, image], check=True)
        subprocess.run(["mount", "-o", "loop", image, target], check=True)
        try:
            os.chmod(target, 0o755)
            yield target
        finally:
            if subprocess.run(["umount", target], check=False).returncode:
                subprocess.run(["umount", "--lazy", target], check=True)
                raise AssertionError(f"{target} was still in use")
    finally:
        shutil.rmtree(directory)
