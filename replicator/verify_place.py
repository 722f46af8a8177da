"""Where a comparison is, as text, so that another one goes on there: later, or on the other node.

A comparison goes through the module's directories in the order of the configuration. In each a directory comes before
what is below it and its files before the directories in it; names are in the order of their bytes. So it is enough to
know the first thing that was not compared. What is moved across that place meanwhile is compared twice or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

_LONGEST: Final = 16 << 10
"""Characters of a place; further in a directory above stands for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """The first thing that is left: the entries of a directory, or a file in it from an offset on."""

    volume: int
    directory: tuple[bytes, ...]
    """The names from the root to it."""
    file: bytes = b""
    """Empty: the entries of the directory."""
    offset: int = 0


def encode_place(place: Place, paths: Sequence[str]) -> str:
    """``place`` as text; ``paths``: of the module's directories, by volume."""
    while len(text := _text(place, paths)) > _LONGEST and place.directory:
        place = Place(place.volume, place.directory[:-1])
    return text


def _text(place: Place, paths: Sequence[str]) -> str:
    root = quote_from_bytes(paths[place.volume].encode(errors="surrogateescape"))
    return f"{root}:{quote_from_bytes(b'/'.join(place.directory))}:{quote_from_bytes(place.file)}:{place.offset}"


def decode_place(text: str, paths: Sequence[str]) -> Place | None:
    """The place in ``text``; ``None``, the beginning: it is empty, of another release, or its directory is gone."""
    parts = text.split(":")
    if len(parts) != 4 or not (parts[3].isascii() and parts[3].isdigit()):
        return None
    root = unquote_to_bytes(parts[0]).decode(errors="surrogateescape")
    if root not in paths:
        return None
    directory = tuple(unquote_to_bytes(parts[1]).split(b"/")) if parts[1] else ()
    return Place(paths.index(root), directory, unquote_to_bytes(parts[2]), int(parts[3]))


class Rest:
    """What is left from a place on; ``None``: everything."""

    def __init__(self, place: Place | None) -> None:
        self.place: Final = place

    def has_volume(self, volume: int) -> bool:
        """Whether something of it is left."""
        return self.place is None or volume >= self.place.volume

    def has_directory(self, volume: int, path: tuple[bytes, ...]) -> bool:
        """Whether something in it, or below, is left."""
        place = self.place
        if place is None or volume != place.volume or path >= place.directory:
            return True
        return self._is_above(path, place)

    def has_entries(self, volume: int, path: tuple[bytes, ...]) -> bool:
        """Whether the entries of a directory are left, of which something is."""
        place = self.place
        if place is None or volume != place.volume:
            return True
        return not self._is_above(path, place) and (path != place.directory or not place.file)

    def file_offset(self, volume: int, path: tuple[bytes, ...], name: bytes) -> int | None:
        """From where on a file of such a directory is left; ``None``: it was compared."""
        place = self.place
        if place is None or volume != place.volume:
            return 0
        if self._is_above(path, place):
            return None
        if path != place.directory or name > place.file:
            return 0
        return place.offset if name == place.file else None

    @staticmethod
    def _is_above(path: tuple[bytes, ...], place: Place) -> bool:
        return len(path) < len(place.directory) and place.directory[: len(path)] == path
