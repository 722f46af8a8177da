"""Keeps in etcd where this node is to be found, for the time when it is not there to say so (S12).

All addresses of its interfaces, be they up or not: whoever asks later whether this machine is off asks at all of them.
"""

import asyncio

import structlog

from agent.adapters.marks import Marks
from agent.adapters.netlink import Netlink
from agent.runtime.cluster_view import ClusterView
from agent.runtime.handling import utc_now
from agent.runtime.lease_keeper import LeaseKeeper
from manager.model.codec import encode
from manager.model.errors import MirrorfarmError
from manager.model.records import KnownNode
from manager.store.api import CreateRevisionIs, Put, Store, Txn

LOOK_S = 30.0
"""So often the addresses are looked at."""
RETRY_S = 1.0
SEE_S = 2.0


class KnownAddresses:
    """Of this node."""

    def __init__(
        self,
        node: str,
        boot_id: str,
        configured: tuple[str, ...],
        view: ClusterView,
        store: Store,
        keeper: LeaseKeeper,
        netlink: Netlink,
        marks: Marks,
    ) -> None:
        """``configured``: those that the configuration names, which may be others' names for them (NAT)."""
        self._node = node
        self._boot_id = boot_id
        self._configured = configured
        self._view = view
        self._store = store
        self._keeper = keeper
        self._netlink = netlink
        self._marks = marks
        self._log = structlog.get_logger()

    async def keep(self) -> None:
        """Keep the key as it should be, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S if await self.note() else RETRY_S)

    async def note(self) -> bool:
        """Write it if it has changed; whether etcd has it now. Guarded by this agent's own registration."""
        created = self._keeper.created_revision
        if not created or not self._view.revision:
            return False
        key = self._view.cluster.known(self._node)
        try:
            addresses = await self._addresses()
            known = self._view.keys.record(KnownNode, key)
            if known is not None and (known.addresses, known.boot_id) == (addresses, self._boot_id):
                return True
            record = KnownNode(self._node, addresses, self._boot_id, utc_now())
            own = CreateRevisionIs(self._view.cluster.node(self._node), created)
            settled = await self._store.commit(Txn((own,), (Put(key, encode(record)),)))
        except MirrorfarmError as failure:
            self._log.debug("addresses.unnoted", error=str(failure))
            return False
        if settled.succeeded:
            self._log.info("addresses.noted", addresses=addresses)
            await self._view.reach(settled.revision, SEE_S)
        return settled.succeeded

    async def _addresses(self) -> tuple[str, ...]:
        real = {i.index for i in await self._netlink.interfaces() if not i.loopback}
        found = [
            str(a.address)
            for a in await self._netlink.addresses()
            if a.index in real and not a.address.is_link_local and not self._marks.ours(a)
        ]
        return tuple(dict.fromkeys((*self._configured, *sorted(found))))
