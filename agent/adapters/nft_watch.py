"""Notices tables that are taken out of the kernel's packet filter, from its own notifications (nfnetlink).

What takes them out, be it this agent itself, is not known here, nor whose they are. Where the kernel does not notify,
whoever has rules looks for them from time to time all the same.
"""

from collections.abc import Callable

from agent.adapters.kernel_notices import KernelNotices
from manager import netlink_messages
from manager.model.errors import DefiniteFailure

_NETFILTER = 12
"""NETLINK_NETFILTER, linux/netlink.h."""
_GROUP_TABLES = 1 << 6
"""NFNLGRP_NFTABLES, the seventh one; linux/netfilter/nfnetlink.h."""
_DELETED_TABLE = 10 << 8 | 2
"""NFNL_SUBSYS_NFTABLES and NFT_MSG_DELTABLE; linux/netfilter/nf_tables.h."""


class TableWatch:
    """Calls back when tables are taken out; one for an agent, on the loop.

    It listens while anybody is to be called: where others change rules all the time, all of that is told.
    """

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self._notices: KernelNotices | None = None
        self._watchers: set[Callable[[], None]] = set()

    def watch(self, removed: Callable[[], None]) -> None:
        """Call ``removed`` when tables have been taken out, or may have been.

        Raises:
            DefiniteFailure: the kernel does not notify.
        """
        if self._notices is None:
            self._listen()
        self._watchers.add(removed)

    def unwatch(self, removed: Callable[[], None]) -> None:
        """Undo :meth:`watch`, if that was done and not undone yet."""
        self._watchers.discard(removed)
        if self._notices is not None and not self._watchers:
            self._notices.close()
            self._notices = None

    def _listen(self) -> None:
        try:
            self._notices = KernelNotices(_NETFILTER, _GROUP_TABLES, self.take, self._tell)
        except OSError as error:
            raise DefiniteFailure(f"watching the packet filter: {error}") from None

    def take(self, datagram: bytes) -> None:
        """What the kernel has told."""
        if any(kind == _DELETED_TABLE for kind, _ in netlink_messages.messages(datagram)):
            self._tell()

    def _tell(self) -> None:
        for removed in list(self._watchers):
            removed()
