"""The files of the authority and of the nodes: where they are, who may read them, and that each is whole.

Each is replaced as a whole and brought to the disk before it counts. A private key that others may read is not taken,
and none is ever written where others can read it, not for a moment.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from manager.model.node_identity import NODE_KEY, OPERATOR_KEY

DIRECTORY_MODE: Final = 0o700
SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
_SECRETS: Final = frozenset({NODE_KEY, OPERATOR_KEY})
_LARGEST_BYTES: Final = 1 << 20
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Exposed(OSError):
    """A private file that others than its owner may read or write."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is below ``root``: the directory of the node's own files."""

    root: Path

    @property
    def authority(self) -> Path:
        """Only where the authority was made."""
        return self.root / "authority"

    @property
    def authority_key(self) -> Path:
        """The key with which all is signed."""
        return self.authority / "authority.key"

    @property
    def register(self) -> Path:
        """What was issued and revoked."""
        return self.authority / "register.json"

    @property
    def etcd(self) -> Path:
        """What is to be carried to etcd's members, a directory each, and its administrator's."""
        return self.root / "etcd"

    def parcel(self, node: str) -> Path:
        """What is to be carried to ``node``."""
        return self.root / "nodes" / node

    @property
    def operators(self) -> Path:
        """What is to be carried to operators, a directory each."""
        return self.root / "operators"


def make_directory(path: Path) -> None:
    """A directory for its owner alone, and those above it that are not there yet. Raises OSError."""
    if not path.parent.exists():
        make_directory(path.parent)
    path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    path.chmod(DIRECTORY_MODE)


def write(path: Path, content: bytes, mode: int) -> None:
    """Replaces a file as a whole, on the disk when this returns. Raises OSError."""
    new = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()  # of one that was broken off
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, SECRET_MODE)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """The names in it are on the disk when this returns. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_holder(directory: Path, contents: Mapping[str, bytes]) -> None:
    """A node's or an operator's files by name: the key for its owner alone. Raises OSError."""
    make_directory(directory)
    for name, content in contents.items():
        write(directory / name, content, SECRET_MODE if name in _SECRETS else PUBLIC_MODE)


def read(path: Path) -> bytes:
    """A regular file's content. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read(_LARGEST_BYTES)


def read_secret(path: Path) -> bytes:
    """As :func:`read`, of a private file. Raises Exposed: others may read it; OSError."""
    mode = path.stat().st_mode
    if mode & _OTHERS:
        raise Exposed(f"{path} has mode {stat.S_IMODE(mode):04o}: others than its owner may use it")
    return read(path)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One command at a time works on the authority. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
