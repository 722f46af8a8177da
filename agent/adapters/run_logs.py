"""A log file for each run of a script: ``<directory>/<script>.<n>.log``, the last ten kept."""

import contextlib
import os
import re
from typing import BinaryIO

KEPT = 10
_NAME = re.compile(r"(?P<script>.+)\.(?P<number>[0-9]{1,18})\.log")
_TAIL_BYTES = 4096


def numbers(names: list[str], script: str) -> list[int]:
    """The numbers of the runs of ``script`` among the files of a directory, the oldest first."""
    matched = (_NAME.fullmatch(n) for n in names)
    return sorted(int(m["number"]) for m in matched if m and m["script"] == script)


def open_log(directory: str, script: str) -> tuple[BinaryIO, str]:
    """A new log for a run of ``script``, unbuffered, and its path; the oldest are removed.

    Raises:
        OSError: the directory cannot be made, or not be written to.
    """
    os.makedirs(directory, mode=0o750, exist_ok=True)
    known = numbers(os.listdir(directory), script)
    for number in known[: max(0, len(known) - KEPT + 1)]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_path(directory, script, number))
    path = _path(directory, script, known[-1] + 1 if known else 1)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
    return open(descriptor, "wb", buffering=0), path


def last_lines(path: str, count: int = 5) -> str:
    """The last lines of a log, for a message; empty when it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line for line in lines if line.strip() and not line.startswith("# ")]
    return "\n".join(said[-count:])


def _path(directory: str, script: str, number: int) -> str:
    return os.path.join(directory, f"{script}.{number}.log")
