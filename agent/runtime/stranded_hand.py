"""Resets the connections that a node has in slots which other nodes serve: nothing of them reaches it any more.

Connections stay with a node while it leaves a slot, so that it has none there when that is over. A node has some where
its slots were given away at once: it was taken for dead, and lives; it was frozen or cut off for seconds. What a client
sends goes to the new owner then, whose kernel resets it; but the client that only waits for an answer would hang, and
at this node the connection would stay for ever, as nobody tells it. Back with its share, the node could never leave the
slot again.

Looked is before the core is told that the rules are loaded, and so before a director sends anything new of a slot that
comes here: what is found then is of before. What begins on the node itself, or comes to it by another link, is not
shared by anybody, and stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import structlog

from agent.adapters import slot_connections
from agent.runtime.shared_ports import shared_ports
from manager.model.config import RuleConfig
from manager.model.errors import MirrorfarmError
from manager.model.farm import SlotTable


@dataclass(frozen=True, slots=True)
class _Look:
    """What the last one was for."""

    number: int
    """Of the table."""
    link: int
    away: frozenset[int]
    """The slots that were other nodes'."""


class StrandedHand:
    """Of one module."""

    def __init__(self, module: str, node: str, seed: int, rules: tuple[RuleConfig, ...]) -> None:
        """``seed``: of the hash."""
        self._node = node
        self._seed = seed
        self._rules = rules
        self._looked: dict[str, _Look] = {}
        """By address; those at which it was not looked, or in vain, are left out."""
        self._log = structlog.get_logger().bind(module=module)

    async def loaded(self, tables: Mapping[str, SlotTable], links: Mapping[str, int]) -> None:
        """The kernel shares by ``tables`` on ``links`` (indices), by address; of others nothing is known.

        It is looked where slots are other nodes' that were not before, and where some come here: a node may have missed
        the table by which they were given away. By one and the same table that is once: when it is loaded again, as for
        a link's sake, a director that has the next one already may have sent what begins in a slot that comes.
        """
        for address in tables.keys() & links.keys():
            table, link = tables[address], links[address]
            look = _Look(table.number, link, table.kept_from(self._node))
            last = self._looked.get(address)
            comes = any(table.comer(slot) == self._node for slot in look.away)
            is_new = last is None or last.link != link or bool(look.away - last.away)
            if is_new or (comes and last is not None and last.number != table.number):
                await self._reset(address, look)

    def forget(self) -> None:
        """The rules are gone: what comes now is shared by nobody here."""
        self._looked.clear()

    async def _reset(self, address: str, look: _Look) -> None:
        shared = shared_ports(self._rules, address, self._seed)
        self._looked.pop(address, None)
        try:
            count = await slot_connections.reset(ip_address(address), look.away, shared, look.link)
        except MirrorfarmError as failure:
            self._log.warning(
                "connections.stranded",
                address=address,
                error=str(failure),
                meaning="clients whose slots other nodes serve may wait here for an answer; they are looked "
                "for again by the next table",
            )
            return
        self._looked[address] = look
        if count:
            self._log.warning(
                "connections.reset",
                address=address,
                count=count,
                meaning="other nodes serve their clients' slots, and nothing that these clients sent would have "
                "reached this node: it was taken for dead, gave its slots away at once, or had lost its rules",
            )
