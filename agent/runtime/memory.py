"""Keeps the boot id in effect of one module on this node (``manager.model.boots``), for the next agent (S8)."""

import os

from manager.model.boots import FILE, parts
from manager.model.errors import DefiniteFailure
from manager.note_file import read_note, write_note


class Memory:
    """One module's file."""

    def __init__(self, run_directory: str, kernel_boot_id: str) -> None:
        """Reads nothing yet."""
        self._path = os.path.join(run_directory, FILE)
        self._kernel = kernel_boot_id

    def boot_id(self) -> str:
        """The boot id in effect.

        Raises:
            DefiniteFailure: it cannot be read, so that it is not known.
        """
        try:
            kept = read_note(self._path).strip()
        except FileNotFoundError:
            return self._kernel
        except OSError as error:
            raise DefiniteFailure(f"reading {self._path}: {error}") from None
        return kept if parts(kept)[0] == self._kernel else self._kernel

    def keep(self, boot_id: str) -> None:
        """Replace it as a whole; another process reads it when this returns.

        Raises:
            DefiniteFailure: it cannot be written.
        """
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            write_note(self._path, f"{boot_id}\n")
        except OSError as error:
            raise DefiniteFailure(f"writing {self._path}: {error}") from None
