"""One agent a node: a file with the agent's pid, locked for as long as the process lives."""

import contextlib
import fcntl
import os

from manager.model.errors import ConfigError


class PidFile:
    """The locked file. The lock ends with the process, however that ends."""

    def __init__(self, path: str) -> None:
        """``path``: in the run directory, which is there."""
        self._path = path
        self._descriptor = -1

    def take(self) -> None:
        """Lock it and write this process's pid into it.

        Raises:
            ConfigError: another agent has it, or it cannot be written.
        """
        try:
            while not self._lock():
                os.close(self._descriptor)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            other = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            raise ConfigError(f"{self._path}: found an agent that runs, process {other}; allowed: one a node") from None
        except OSError as error:
            raise ConfigError(f"{self._path}: found {error}; allowed: a file that can be written") from None

    def release(self) -> None:
        """Remove the file and end the lock."""
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self) -> bool:
        """Lock the file; whether it is still the one of that name: the former agent removes it when it ends."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False
