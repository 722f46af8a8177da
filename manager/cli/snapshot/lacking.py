"""What could not be had for a snapshot, and why: noted where it was looked for, told whoever reads the file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from manager.model.codec import DecodeError, from_plain, to_plain


class NotHad(Exception):
    """Something is not to be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """One thing that is not in the file, or not whole."""

    what: str
    """Its name in the file, below the node's folder."""
    why: str


@dataclass(frozen=True, slots=True)
class _Notes:
    lacking: tuple[Lacking, ...]


def lacking_text(lacking: Sequence[Lacking]) -> bytes:
    """For a node's part of the file."""
    return (json.dumps(to_plain(_Notes(tuple(lacking))), indent=1) + "\n").encode()


def lacking_of(content: bytes) -> tuple[Lacking, ...]:
    """What :func:`lacking_text` made ``content`` of. Raises NotHad: it is none of its."""
    try:
        return from_plain(_Notes, json.loads(content)).lacking
    except (DecodeError, ValueError, RecursionError):
        raise NotHad("what it says is missing in it is not understood") from None
