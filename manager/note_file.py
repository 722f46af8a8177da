"""Notes that a process leaves for the one after it."""

import errno
import os


def write_note(path: str | os.PathLike[str], text: str, mode: int = 0o644, *, synced: bool = False) -> None:
    """Replace the file as a whole: whoever reads it finds what was there before, or ``text``.

    Args:
        path: in a directory that is there.
        text: its new content.
        mode: less the umask.
        synced: it is on the disk when this returns, for what outlives the machine's run.

    Raises:
        OSError: it cannot be written. What was there is there yet, unless it is the last step of ``synced`` that
            failed: then it may be either, now and after another start of the machine.
    """
    new = f"{os.fspath(path)}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if synced:
            os.fsync(file.fileno())
    os.replace(new, path)
    if synced:
        _sync(os.path.dirname(path) or ".", os.O_DIRECTORY)


def read_note(path: str | os.PathLike[str]) -> str:
    """What stands there.

    Raises:
        FileNotFoundError: nothing was noted.
        OSError: it cannot be read; or it is no text.
    """
    with open(path, encoding="utf-8") as file:
        try:
            return file.read()
        except UnicodeDecodeError as error:
            raise OSError(errno.EILSEQ, f"no text ({error})", os.fspath(path)) from None


def sync_note(path: str | os.PathLike[str]) -> None:
    """What stands there is on the disk when this returns: whoever wrote it may have ended before it was.

    Takes no room. Raises OSError.
    """
    _sync(path)
    _sync(os.path.dirname(path) or ".", os.O_DIRECTORY)


def _sync(path: str | os.PathLike[str], flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
