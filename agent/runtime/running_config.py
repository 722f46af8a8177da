"""The configuration that a module runs by on this node, noted for the agent that finds it running."""

import contextlib
import os

from manager.model.codec import DecodeError, decode, encode
from manager.model.errors import DefiniteFailure
from manager.model.records import ModuleConfigRecord
from manager.note_file import read_note, write_note


class RunningConfig:
    """Of one module: of a mirror for as long as its replicator runs, of a farm until it has stopped."""

    def __init__(self, run_directory: str) -> None:
        self._path = os.path.join(run_directory, "config.json")

    def read(self) -> ModuleConfigRecord | None:
        """``None``: there is none, or it is not whole."""
        try:
            return decode(ModuleConfigRecord, read_note(self._path))
        except (OSError, DecodeError):
            return None

    def write(self, record: ModuleConfigRecord) -> None:
        """Replace it as a whole.

        Raises:
            DefiniteFailure: it cannot be written.
        """
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            write_note(self._path, encode(record) + "\n", 0o600)
        except OSError as error:
            raise DefiniteFailure(f"writing {self._path}: {error}") from None

    def remove(self) -> None:
        """Remove it; it may be gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
