"""Notes that a process leaves for the one after it."""

import os


def write_note(path: str, text: str, mode: int = 0o644, *, synced: bool = False) -> None:
    """Replace the file as a whole: whoever reads it finds what was there before, or ``text``.

    Args:
        path: in a directory that is there.
        text: its new content.
        mode: less the umask.
        synced: it is on the disk when this returns, for what outlives the machine's run.

    Raises:
        OSError: it cannot be written; what was there is there yet.
    """
    descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if synced:
            os.fsync(file.fileno())
    os.replace(f"{path}.new", path)
    if synced:
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
