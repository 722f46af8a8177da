"""The cluster's identity: made once, by the first agent that finds none; anew in an etcd that was rebuilt."""

import asyncio
import uuid

import structlog

from agent.runtime.cluster_view import ClusterView
from agent.runtime.handling import utc_now
from manager.model.codec import DecodeError, decode, encode
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.records import ClusterIdentity
from manager.note_file import read_note, write_note
from manager.store.api import KeyAbsent, Put, Store, Txn

RETRY_S = 0.5
LOOK_S = 60.0
"""The view brings each change by itself."""


class IdentityFile:
    """Names the cluster for the next agent on this node, which may have to go on before etcd is heard."""

    def __init__(self, path: str) -> None:
        """``path``: in a directory that does not outlive the machine's run."""
        self._path = path

    def read(self) -> str:
        """The cluster's id; empty: there is none, or it is not whole."""
        try:
            return decode(ClusterIdentity, read_note(self._path)).cluster_id
        except (OSError, DecodeError):
            return ""

    def write(self, identity: ClusterIdentity) -> None:
        """Replace it as a whole.

        Raises:
            DefiniteFailure: it cannot be written.
        """
        try:
            write_note(self._path, encode(identity) + "\n")
        except OSError as error:
            raise DefiniteFailure(f"writing {self._path}: {error}") from None


async def keep_identity(view: ClusterView, store: Store, file: IdentityFile) -> None:
    """Make the key whenever there is none, and note in ``file`` what it says, until cancelled."""
    while True:
        await ensure_identity(view, store)
        identity = view.keys.record(ClusterIdentity, view.cluster.identity)
        if identity is not None and identity.cluster_id != file.read():
            try:
                file.write(identity)
            except DefiniteFailure as failure:
                structlog.get_logger().warning("cluster.unnoted", error=str(failure))
        await view.next_change(LOOK_S)


async def ensure_identity(view: ClusterView, store: Store) -> None:
    """Make the key if there is none; returns when there is one."""
    log = structlog.get_logger()
    while view.revision == 0:
        await view.next_change(RETRY_S)
    key = view.cluster.identity
    while key not in view.kvs:
        identity = ClusterIdentity(uuid.uuid4().hex, utc_now())
        try:
            settled = await store.commit(Txn((KeyAbsent(key),), (Put(key, encode(identity)),)))
        except (DefiniteFailure, IndefiniteFailure):
            await asyncio.sleep(RETRY_S)
            continue
        if settled.succeeded:
            log.info("cluster.created", cluster_id=identity.cluster_id)
        await view.reach(settled.revision, RETRY_S)


def identity_of(view: ClusterView) -> str:
    """The cluster's id as the view has it; empty: there is none yet, or none that this release understands."""
    record = view.keys.record(ClusterIdentity, view.cluster.identity)
    return record.cluster_id if record is not None else ""
