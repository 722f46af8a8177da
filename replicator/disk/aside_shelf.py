"""The asides that a disk has, below ``.mirrorfarm/aside/``: which there are, what is in one, and how one goes.

``<number>/`` has ``tree/``, with what was kept at its own path, ``list.jsonl``, with a line for each path, and
``aside.json``, which says where it came from. One that is not whole yet has ``.part`` behind its number. How it is
filled is ``replicator.disk.aside``'s matter.
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Final

from manager.model.asides import Aside, AsideItem
from manager.model.codec import DecodeError, decode, encode, from_plain
from replicator.disk.limbo import remove_tree
from replicator.disk.survey import open_path

SHELF: Final = b"aside"
TREE: Final = b"tree"
LIST: Final = "list.jsonl"
_ABOUT: Final = "aside.json"
_DELETED: Final = b"deleted"
_MAX_ABOUT: Final = 4096


def open_shelf(private: int) -> int:
    """``.mirrorfarm/aside/``, which is made if there is none, and which the caller closes. Raises OSError."""
    try:
        os.mkdir(SHELF, 0o700, dir_fd=private)
        os.fsync(private)
    except FileExistsError:
        pass
    return open_path(private, (SHELF,))


def part_of(number: int) -> bytes:
    """The name of an aside that is not whole."""
    return b"%d.part" % number


def read_asides(private: int) -> list[Aside]:
    """All that are whole, by their numbers. Raises OSError."""
    try:
        shelf = open_path(private, (SHELF,))
    except FileNotFoundError:
        return []
    try:
        return [_read_about(shelf, number) for number in sorted(_numbers(shelf))]
    finally:
        os.close(shelf)


def _numbers(shelf: int) -> list[int]:
    return [int(name) for name in os.listdir(shelf) if name.isascii() and name.isdigit()]


def _read_about(shelf: int, number: int) -> Aside:
    """What it says of itself; one that says nothing is there all the same, and can be cleared."""
    try:
        file = os.open(f"{number}/{_ABOUT}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=shelf)
        try:
            return decode(Aside, os.read(file, _MAX_ABOUT))
        finally:
            os.close(file)
    except (FileNotFoundError, DecodeError):
        return Aside(number, "", 0, "", 0, 0, 0)


def write_about(aside: int, about: Aside) -> None:
    """Into the open directory of one that is being filled. Raises OSError."""
    file = os.open(_ABOUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=aside)
    try:
        os.write(file, encode(about).encode() + b"\n")
    finally:
        os.close(file)


def read_items(private: int, number: int) -> Iterator[AsideItem]:
    """What is in one, in the order in which it was found; paths are relative to the directory. Raises OSError."""
    return map(item_of, read_lines(private, number))


def item_of(line: bytes) -> AsideItem:
    """What a line of the list says. Raises OSError: it is damaged."""
    try:
        return from_plain(AsideItem, json.loads(line))
    except (ValueError, RecursionError, DecodeError) as error:
        raise OSError(f"the list of what is in it is damaged: {error}") from None


def read_lines(private: int, number: int) -> Iterator[bytes]:
    """The list of what is in one, line by line: to count them without a look into each. Raises OSError."""
    aside = open_path(private, (SHELF, b"%d" % number))
    try:
        file = os.open(LIST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=aside)
    finally:
        os.close(aside)
    with open(file, "rb") as lines:
        yield from lines


def delete_aside(private: int, number: int) -> None:
    """It is gone, whole or not, and so is what a deletion before this one left. Blocks. Raises OSError."""
    shelf = open_shelf(private)
    try:
        remove_tree(shelf, _DELETED, _do)
        for name in (b"%d" % number, part_of(number)):
            try:
                os.rename(name, _DELETED, src_dir_fd=shelf, dst_dir_fd=shelf)
            except FileNotFoundError:
                continue
            os.fsync(shelf)
            remove_tree(shelf, _DELETED, _do)
    finally:
        os.close(shelf)


def _do(change: Callable[[], None]) -> bool:
    change()
    return True
