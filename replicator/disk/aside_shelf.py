"""The asides that a disk has, below ``.mirrorfarm/aside/``: which there are, what is in one, and how one goes.

``<number>/`` has ``tree/``, with what was kept at its own path, ``list.jsonl``, with a line for each path, and
``aside.json``, which says where it came from. One that is not whole yet has ``.part`` behind its number. How it is
filled is ``replicator.disk.aside``'s matter.

A number is given to one aside alone: whoever has noted it finds that one, or none. So the highest one that was cleared
is kept beside the shelf, in a symbolic link that leads nowhere: made as a whole, and a full disk has room for it.
"""

import contextlib
import errno
import json
import os
import re
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
_CLEARED: Final = "cleared"
_CLEARED_TEXT: Final = re.compile(r"aside-(\d{1,9})")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


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


def last_number(private: int) -> int:
    """The highest number of an aside that this disk has, or had; 0: of none. Raises OSError."""
    return max(_last_cleared(private), *(aside.number for aside in read_asides(private)), 0)


def _last_cleared(private: int) -> int:
    """0 where it was never noted, or is no note of ours: then only a number may be given once more."""
    try:
        match = _CLEARED_TEXT.fullmatch(os.readlink(_CLEARED, dir_fd=private))
    except FileNotFoundError:
        return 0
    except OSError as error:
        if error.errno != errno.EINVAL:  # no symbolic link
            raise
        return 0
    return int(match.group(1)) if match is not None else 0


def _note_cleared(private: int, number: int) -> None:
    """On the disk when this returns. Raises OSError."""
    if _last_cleared(private) >= number:
        return
    fresh = f"{_CLEARED}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh, dir_fd=private)
    os.symlink(f"aside-{number}", fresh, dir_fd=private)
    os.rename(fresh, _CLEARED, src_dir_fd=private, dst_dir_fd=private)
    os.fsync(private)


def clear_aside(private: int, number: int) -> None:
    """An operator wants it no more: as :func:`delete_aside`, and its number is not given again. Raises OSError."""
    noted = True
    try:
        _note_cleared(private, number)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        noted = False  # It is cleared to make room: then there is some.
    delete_aside(private, number)
    if not noted:
        _note_cleared(private, number)


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
