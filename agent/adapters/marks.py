"""Recognises the addresses that Mirrorfarm added, also those of a former agent.

The kernel keeps a mark with each address (IFA_PROTO, from Linux 5.18). An older one does not take it: then a file
that lives as long as the machine runs names them.
"""

import json
from collections.abc import Iterable

from agent.adapters.netlink import Assigned
from manager.model.errors import DefiniteFailure
from manager.note_file import write_note

PROTOCOL = 77
"""Our IFA_PROTO; linux/if_addr.h has 0 to 3 for the kernel's own."""


class Marks:
    """Which addresses are ours."""

    def __init__(self, path: str, protocol: int = PROTOCOL) -> None:
        """``path``: the file, best in ``/run``; ``protocol`` 0: as on a kernel that takes no mark."""
        self._path = path
        self.protocol = protocol

    def ours(self, assigned: Assigned) -> bool:
        """Whether we added it: never one without an end of life."""
        if assigned.permanent:
            return False
        if assigned.protocol:
            return assigned.protocol == self.protocol
        return _name(assigned) in self._read()

    def note(self, assigned: Iterable[Assigned]) -> None:
        """Remember those that the kernel did not mark.

        Raises:
            DefiniteFailure: the file cannot be written.
        """
        unmarked = {_name(a) for a in assigned if not a.protocol}
        known = self._read()
        if not unmarked <= known:
            self._write(unmarked | known)

    def _read(self) -> set[str]:
        try:
            with open(self._path, encoding="utf-8") as file:
                names = json.load(file)
        except (OSError, ValueError):
            return set()  # None was noted, or not whole: then the address ends with its life.
        return {n for n in names if isinstance(n, str)} if isinstance(names, list) else set()

    def _write(self, names: set[str]) -> None:
        try:
            write_note(self._path, json.dumps(sorted(names)))
        except OSError as error:
            raise DefiniteFailure(f"noting the addresses in {self._path}: {error}") from None


def _name(assigned: Assigned) -> str:
    return f"{assigned.address}/{assigned.prefix_length}"
