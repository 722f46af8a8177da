"""Takes a disk away from everybody: as long as one mount namespace has it the file system lives on with all it knew.

The next mount of its image would be of that file system, its page cache included, and not of what is on the disk.
"""

import contextlib
import subprocess
import time
from pathlib import Path

_SECONDS = 10.0


def unmount_everywhere(disk: Path, image: Path) -> None:
    """Of the loop-mounted ``image``. Labs and agents that tests beside this one have made have copies of all mounts."""
    subprocess.run(["umount", disk], check=True)
    end = time.monotonic() + _SECONDS
    while subprocess.run(["losetup", "--associated", image], capture_output=True, check=True).stdout:
        assert time.monotonic() < end, f"{disk} is still mounted somewhere"
        unmount_copies(disk)
        time.sleep(0.05)


def unmount_copies(point: Path) -> None:
    """Of a mount that was there, in whatever namespaces have it by now; others may get it until they do."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if f" {point} " in (process / "mountinfo").read_text():
                subprocess.run(
                    ["nsenter", f"--target={process.name}", "--mount", "umount", "--lazy", point], check=False
                )
