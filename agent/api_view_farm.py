"""What the operator is shown of a farm, built from its keys as etcd had them. Pure.

A table says how many slots each node has. That is what a node serves only while etcd is heard, and only of a node that
is heard of: else the table may have changed since, or the node be dead. Everything else is unknown.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from agent.api_view_figures import UNKNOWN, Figures, total, traffic_at
from manager.model.api_farm import FarmShare, FarmTable, Moving
from manager.model.codec import DecodeError, decode
from manager.model.config.farm_config import FarmConfig
from manager.model.farm import SLOTS, DirectorRecord, SlotsRecord, SlotTable
from manager.model.keys import ModuleKeys
from manager.model.records import DesiredRecord

T = TypeVar("T")

Busy = Mapping[str, Mapping[str, int]]
"""Address to former owner to the number of slots on their way in which it may have connections still."""
Awaited = Mapping[str, Mapping[str, int]]
"""Address to node that has not loaded what is on its way yet to the number of the table that it has loaded."""


class NotUnderstoodError(Exception):
    """There is a record, and this release cannot read it."""


def read_director(values: Mapping[str, str], keys: ModuleKeys, address: str) -> str | None:
    """Who receives for ``address``; empty: nobody; ``None``: the record is of another release."""
    try:
        record = _read(DirectorRecord, values, keys.director(address))
    except NotUnderstoodError:
        return None
    return "" if record is None else record.node


def read_slots(values: Mapping[str, str], keys: ModuleKeys, address: str) -> SlotsRecord | None:
    """The table of ``address``; ``None``: there is none yet.

    Raises:
        NotUnderstoodError: there is one, of another release.
    """
    record = _read(SlotsRecord, values, keys.slots(address))
    if record is not None and not record.table.is_whole:
        raise NotUnderstoodError
    return record


def _read(kind: type[T], values: Mapping[str, str], key: str) -> T | None:
    text = values.get(key)
    if text is None:
        return None
    try:
        return decode(kind, text)
    except DecodeError:
        raise NotUnderstoodError from None


def farm_tables(
    values: Mapping[str, str], keys: ModuleKeys, config: FarmConfig, busy: Busy | None, awaited: Awaited,
    figures: Figures,
) -> tuple[FarmTable, ...]:  # fmt: skip
    """The tables of a farm, in the order of its addresses.

    Args:
        values: the cluster's keys and their values.
        keys: of the module.
        config: of the module.
        busy: what this node was told as director; ``None``: nothing.
        awaited: what it knows as director.
        figures: what the nodes have told of their traffic, with how old it is now.
    """
    tables = [_table(values, keys, a.ip, None if busy is None else busy.get(a.ip)) for a in config.addresses]
    return tuple(
        replace(
            t, awaited=dict(awaited[t.address]) if t.address in awaited else None,
            traffic=traffic_at(t.address, t.director or "", config.nodes, figures),
        )
        for t in tables
    )  # fmt: skip


def _table(values: Mapping[str, str], keys: ModuleKeys, address: str, busy: Mapping[str, int] | None) -> FarmTable:
    director = read_director(values, keys, address)
    try:
        slots = read_slots(values, keys, address)
    except NotUnderstoodError:
        return FarmTable(address, director, None)
    if slots is None:
        return FarmTable(address, director, 0, shares={}, nobody=SLOTS)
    shares = dict(slots.table.shares())
    nobody = SLOTS - sum(shares.values())
    moving = moving_slots(slots.table, busy)
    return FarmTable(address, director, slots.table.number, slots.by, shares, nobody, moving)


def moving_slots(table: SlotTable, busy: Mapping[str, int] | None) -> tuple[Moving, ...]:
    """What is on its way, by giver and taker."""
    if table.is_settled:
        return ()
    coming: Counter[tuple[str, str]] = Counter()
    leaving: Counter[tuple[str, str]] = Counter()
    for slot in range(SLOTS):
        owner, comer, leaver = table.owner(slot), table.comer(slot), table.leaver(slot)
        if comer:
            coming[owner, comer] += 1
        if leaver:
            leaving[leaver, owner] += 1
    # What a former owner has said is of all its slots: where they go to several nodes, it is not told apart.
    takers = Counter(giver for giver, _ in leaving)
    found = []
    for giver, taker in sorted(coming.keys() | leaving.keys()):
        left = leaving[giver, taker]
        held = busy.get(giver) if busy is not None and left and takers[giver] == 1 else None
        found.append(Moving(giver, taker, coming[giver, taker], left, held, table.switched if left else None))
    return tuple(found)


def farm_share(
    config: FarmConfig, node: str, desired: DesiredRecord | None, tables: tuple[FarmTable, ...],
    generation: int | None, *, known: bool,
) -> FarmShare:  # fmt: skip
    """What ``node`` has of the farm.

    Args:
        config: of the module.
        node: one of its nodes.
        desired: what the operator wants of the node.
        tables: the farm's.
        generation: of the configuration by which it runs there, if that is known.
        known: whether the tables are now, and the node is heard of.
    """
    switched = None if desired is None else desired.weight
    configured = config.weight(node)
    directed = [t.director for t in tables]
    return FarmShare(
        weight=configured if switched is None else switched,
        configured=configured,
        switched=switched is not None,
        group=next((place for place, group in enumerate(config.groups) if node in group), len(config.groups)),
        slots={t.address: _slots_of(t, node) for t in tables} if known else None,
        directs=tuple(t.address for t in tables if t.director == node) if known and None not in directed else None,
        traffic=total(t.traffic.get(node, UNKNOWN) for t in tables),
        generation=generation,
    )


def _slots_of(table: FarmTable, node: str) -> int | None:
    return None if table.shares is None else table.shares.get(node, 0)
