"""The cluster's identity: made once, by the first agent that finds none; anew in an etcd that was rebuilt."""

import asyncio
import uuid

import structlog

from agent.runtime.cluster_view import ClusterView
from agent.runtime.handling import utc_now
from manager.model.codec import encode
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.records import ClusterIdentity
from manager.store.api import KeyAbsent, Put, Store, Txn

RETRY_S = 0.5
LOOK_S = 60.0
"""The view brings each change by itself."""


async def keep_identity(view: ClusterView, store: Store) -> None:
    """Make the key whenever there is none, until cancelled."""
    while True:
        await ensure_identity(view, store)
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
