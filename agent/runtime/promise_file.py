"""Keeps the note of this node's promises (``agent.core.promise_note``) on its disk."""

import structlog

from agent.core.promise_note import PromiseNote
from manager.model.codec import DecodeError, decode, encode
from manager.model.config.agent_config import MOST_TTL_MS
from manager.model.errors import DefiniteFailure
from manager.note_file import read_note, sync_note, write_note

MS_NS = 1_000_000
_UNREADABLE = (OSError, DecodeError)


class PromiseFile:
    """Of this node."""

    def __init__(self, path: str) -> None:
        """``path``: in a directory that outlives the machine's run, as promises do."""
        self._path = path

    def read(self) -> PromiseNote | None:
        """``None``: no agent has noted anything. What cannot be read, or understood, is of the longest lease."""
        try:
            return self._noted()
        except FileNotFoundError:
            return None
        except _UNREADABLE as error:
            meaning = f"this node waits with becoming primary as after a lease of {MOST_TTL_MS // 1000} s"
            structlog.get_logger().error("promise.unreadable", path=self._path, error=str(error), meaning=meaning)
            return PromiseNote("", MOST_TTL_MS * MS_NS)

    def write(self, note: PromiseNote) -> None:
        """Replace it as a whole; it is on the disk when this returns. Nothing is written where it stands there already.

        Raises:
            DefiniteFailure: it cannot be written.
        """
        try:
            if self._is(note):
                sync_note(self._path)
            else:
                write_note(self._path, encode(note) + "\n", synced=True)
        except OSError as error:
            raise DefiniteFailure(f"writing {self._path}: {error}") from None

    def _noted(self) -> PromiseNote:
        return decode(PromiseNote, read_note(self._path))

    def _is(self, note: PromiseNote) -> bool:
        try:
            return note == self._noted()
        except _UNREADABLE:
            return False  # It is replaced.
