"""What the host remembers of the lab that is up: one file, so that any later command finds the lab again.

Its directory is made in one step that only one can take: so there is one lab of a name at a time. Most machines have
one without a name, and no other; two runs of the tests beside each other name theirs (``MIRRORFARM_LAB``).
"""

import contextlib
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass

from manager.lab.errors import LabError
from manager.lab.layout import NAME_VARIABLE, Layout, default_directory, lab_label, make_layout, run_directory
from manager.note_file import write_note


@dataclass(frozen=True, slots=True)
class Record:
    """A lab that is up, or is being made."""

    nodes: tuple[str, ...]
    directory: str
    directory_made: bool
    """Whether ``directory`` itself is the lab's, or only what is in it."""
    lease_ttl_s: int
    since_s: float
    """``CLOCK_BOOTTIME`` of the start, in seconds."""
    by: str
    """The process that started it, for people."""
    watchdog_pid: int = 0
    """Of the process that takes the lab down when its time is over; 0: there is none."""

    @property
    def layout(self) -> Layout:
        """The machines."""
        return make_layout(self.nodes, self.directory)


class Records:
    """The record on this host."""

    def __init__(self, directory: str = "") -> None:
        """``directory``: where it is kept; empty: where the lab of this process's environment has it.

        Raises:
            LabError: the environment names a lab by what is no name.
        """
        self.directory = directory or run_directory(lab_label(os.environ.get(NAME_VARIABLE, "")))
        self.label = os.path.basename(self.directory)
        """What the lab's cgroup and directories are called."""
        self.default_directory = default_directory(self.label)
        """For the lab's disks and logs, when nothing else is said."""
        self._file = os.path.join(self.directory, "lab.json")

    def refuse_if_taken(self) -> None:
        """See that a lab can be claimed.

        Raises:
            LabError: there is one already.
        """
        if os.path.exists(self.directory):
            raise LabError(self._taken())

    def claim(self, record: Record) -> None:
        """Write the first record.

        Raises:
            LabError: there is a lab already.
        """
        try:
            os.mkdir(self.directory, 0o755)
        except FileExistsError:
            raise LabError(self._taken()) from None
        except OSError as error:
            raise LabError(f"{self.directory}: {error.strerror}") from None
        self.write(record)

    def write(self, record: Record) -> None:
        """Replace the record."""
        write_note(self._file, json.dumps(asdict(record)))

    def read(self) -> Record | None:
        """``None``: no lab is up."""
        try:
            with open(self._file, encoding="utf-8") as file:
                plain = json.load(file)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise LabError(f"{self._file} is damaged: {error}; mirrorfarm lab down removes it") from None
        return Record(**(plain | {"nodes": tuple(plain["nodes"])}))

    def remove(self) -> None:
        """Forget it."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)

    def _taken(self) -> str:
        record = self.read()
        if record is None:
            return f"a lab is being made or was left half-made ({self.directory}): mirrorfarm lab down removes it"
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - record.since_s
        return (
            f"a lab is up already, in {record.directory} for {age_s:.0f} s, started by {record.by}. There can be one "
            f"at a time: mirrorfarm lab down removes it, with all that is in it. ({NAME_VARIABLE}=NAME: one beside it.)"
        )
