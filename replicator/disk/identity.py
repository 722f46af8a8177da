"""What a disk itself vouches for: the identity file in ``.mirrorfarm/`` of each replicated directory (S8).

It is synced before an epoch is used, so that a disk which was swapped, rebuilt or restored from a backup cannot be
taken for one that took part. It names the node whose disk it is: two disks that changed their places, or a copy of the
other node's, have taken part in the same epochs, and not in the same writes. This module reads and writes the file;
what follows from it is the agent's decision.

Two files of one size take turns: so a full disk, on which nothing new finds room, still takes a new identity.
"""

import dataclasses
import errno
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from manager.model.codec import DecodeError, decode, encode
from manager.model.errors import MirrorfarmError
from manager.model.records import DiskIdentity
from replicator.core.filesystem import PRIVATE_DIRECTORY, RENAME_EXCHANGE
from replicator.disk import linux

_FILE = "identity.json"
_SPARE = "identity.json.new"
"""The next one is written here."""
_ROOM = 1024
"""Bytes of either file: more than any identity needs."""
_MAX_BYTES = 4096
changing: Final = threading.Lock()
"""To be held from when an identity is read until what is made of it is written.

A join may come to its end while something else is noted: the later of two would undo the other.
"""


@dataclass(frozen=True, slots=True)
class NotedIdentity(DiskIdentity):
    """What stands in the file."""

    node: str = ""
    """The node whose disk it is; empty: not known, as a release before this one has noted it."""


class IdentityUnreadable(MirrorfarmError):
    """The identity file is there and is not one: nothing can be said of this disk."""


def read_identity(root_fd: int) -> NotedIdentity | None:
    """The identity kept below the directory ``root_fd``, or ``None`` when it has none yet.

    Raises:
        IdentityUnreadable: the file is damaged.
        OSError: it cannot be read.
    """
    try:
        file = os.open(f"{PRIVATE_DIRECTORY}/{_FILE}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root_fd)
    except FileNotFoundError:
        return None
    try:
        text = os.read(file, _MAX_BYTES)
    finally:
        os.close(file)
    try:
        return decode(NotedIdentity, text)
    except DecodeError as error:
        raise IdentityUnreadable(f"{PRIVATE_DIRECTORY}/{_FILE}: {error}") from None


def write_identity(root_fd: int, identity: NotedIdentity) -> None:
    """Puts ``identity`` on the disk; it is there when this returns. One at a time (:data:`changing`).

    Raises:
        OSError: it may not be on the disk.
    """
    try:
        os.mkdir(PRIVATE_DIRECTORY, 0o700, dir_fd=root_fd)
        os.fsync(root_fd)
    except FileExistsError:
        pass
    directory = os.open(PRIVATE_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root_fd)
    try:
        _write(directory, _SPARE, identity)
        if _exchange(directory):
            os.fsync(directory)
            return
        os.rename(_SPARE, _FILE, src_dir_fd=directory, dst_dir_fd=directory)
        _write(directory, _SPARE, identity)
        os.fsync(directory)
    finally:
        os.close(directory)


def _write(directory: int, name: str, identity: NotedIdentity) -> None:
    text = encode(identity).encode()
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        whole = text.ljust(_ROOM - 1) + b"\n"
        os.pwrite(file, whole, 0)
        os.ftruncate(file, len(whole))
        os.fsync(file)
    finally:
        os.close(file)


def _exchange(directory: int) -> bool:
    """Whether the spare file, just written, and the one that counts have changed their places."""
    try:
        linux.rename(directory, os.fsencode(_SPARE), directory, os.fsencode(_FILE), RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):  # the first one; a file system that cannot do it
            raise
        return False
    return True


def lowest(identities: Sequence[DiskIdentity | None]) -> DiskIdentity | None:
    """What all the disks of a module vouch for together: nothing when one of them has no identity.

    The caller has made sure that they are of the same cluster and module.
    """
    known = [i for i in identities if i is not None]
    if len(known) < len(identities) or not known:
        return None
    oldest = min(known, key=lambda identity: identity.epoch)
    return DiskIdentity(
        cluster_id=oldest.cluster_id,
        module_id=oldest.module_id,
        epoch=oldest.epoch,
        revision=min(i.revision for i in known),
        store_id=oldest.store_id,
        whole_epoch=min(i.whole_epoch for i in known),
    )


def note_whole(root_fd: int, epoch: int) -> None:
    """The disk has all that the primary of ``epoch`` had; it may have heard of a later one. It says so on return.

    Raises:
        IdentityUnreadable, OSError: it may not be on the disk.
    """
    with changing:
        identity = read_identity(root_fd)
        if identity is not None and identity.whole_epoch < epoch:
            write_identity(root_fd, dataclasses.replace(identity, whole_epoch=epoch))


def foreign(identities: Sequence[NotedIdentity | None], cluster_id: str, module_id: str, node: str) -> str:
    """Why one of the identities is not of this cluster, module and node; empty when all are, or are missing."""
    for identity in identities:
        if identity is None:
            continue
        if identity.cluster_id != cluster_id:
            return f"the disk belongs to cluster {identity.cluster_id}, this is {cluster_id}"
        if identity.module_id != module_id:
            return f"the disk belongs to module {identity.module_id}, this is {module_id}"
        if identity.node not in ("", node):
            return f"the disk, or what it is a copy of, belongs to node {identity.node}, this is {node}"
    return ""
