"""The calls about farms: farm.show, farm.where, farm.weight, farm.traffic.

The first two answer from what was last heard of etcd, so that every node answers alike. A weight is written in a
transaction guarded by all that it was judged by; what comes of it is the director's. The traffic of this node is
switched here alone, with etcd or without.
"""

import dataclasses
import ipaddress

from agent.adapters.calls import Caller, Report
from agent.api_view_farm import NotUnderstoodError, farm_tables, read_director, read_slots
from agent.core.farm.hashing import seed_of, slot_of
from agent.runtime.handling import ATTEMPTS, Seat, changed_meanwhile, unknown_node
from agent.runtime.kind_of_module import farm_of
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_farm import (
    FarmPlace,
    FarmReport,
    FarmShowArguments,
    FarmTrafficArguments,
    FarmTrafficResult,
    FarmWeightArguments,
    FarmWeightResult,
    FarmWhereArguments,
    Way,
)
from manager.model.codec import encode
from manager.model.config.farm_config import Affinity, FarmConfig, RuleConfig
from manager.model.farm import SlotTable
from manager.model.reasons import Reason
from manager.model.records import MOST_WEIGHT, WEIGHT, DesiredRecord
from manager.model.states import ModuleState, Run
from manager.store.api import Put, Txn

MOST_PORT = 65_535


class FarmHandlers:
    """Answers from the view, and writes weights."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def show(self, arguments: FarmShowArguments, caller: Caller, report: Report) -> FarmReport:
        """The tables of a farm."""
        seat, module = self._seat, arguments.module
        record, config = farm_of(seat, module)
        local, nodes = seat.modules.local_state(module), seat.module_view(module).nodes
        return FarmReport(
            module=module,
            node=seat.node,
            store_reachable=seat.view.reachable,
            age_ms=seat.view.age_ms,
            tables=farm_tables(
                seat.view.keys.values, seat.keys_of(module), config, local.busy, local.awaited, local.figures
            ),
            rules=config.rules,
            chain=config.groups,
            generation=record.generation,
            running={n.node: n.farm.generation for n in nodes if n.farm is not None and n.state is not None},
        )

    async def where(self, arguments: FarmWhereArguments, caller: Caller, report: Report) -> FarmPlace:
        """Which node a client gets now."""
        seat, module = self._seat, arguments.module
        record, config = farm_of(seat, module)
        client = _client(arguments)
        if client in (a.ip for a in config.addresses):
            raise ApiError(
                ErrorKind.BAD_REQUEST,
                f"{client} is an address of {module} itself: no client connects from there.",
                remedy="Name the client's own address; a node of the farm is found by its own, too.",
            )
        address = _address(config, arguments, client)
        rule, director = _rule(config, arguments, address), self._director(module, address)
        place = FarmPlace(
            module=module,
            client=client,
            port=arguments.port,
            address=address,
            node="",
            way=Way.NO_TABLE,
            slot=None,
            other="",
            rule=rule,
            director=director,
            number=0,
            registered=None,
            store_reachable=seat.view.reachable,
            age_ms=seat.view.age_ms,
        )
        own = self._node_at(module, client)
        if own:
            place = dataclasses.replace(place, way=Way.OWN, node=own)
        elif rule is None:
            place = dataclasses.replace(place, way=Way.NO_RULE, node=director or "")
        elif (table := self._table(module, address)) is not None:
            place = _in_table(place, table, slot_of(client, arguments.port, rule.affinity, seed_of(record.module_id)))
        alive = seat.view.cluster.node(place.node) in seat.view.kvs if place.node and place.store_reachable else None
        return dataclasses.replace(place, registered=alive)

    def _node_at(self, module: str, client: str) -> str:
        """The node of the farm that is UP and has the client's address; empty: none."""
        up = {n.node for n in self._seat.module_view(module).nodes if n.state is ModuleState.UP}
        nodes = self._seat.view.keys.nodes()
        return next((n.node for n in nodes if n.node in up and client in n.addresses), "")

    def _director(self, module: str, address: str) -> str | None:
        return read_director(self._seat.view.keys.values, self._seat.keys_of(module), address)

    def _table(self, module: str, address: str) -> SlotTable | None:
        try:
            record = read_slots(self._seat.view.keys.values, self._seat.keys_of(module), address)
        except NotUnderstoodError:
            raise ApiError(
                ErrorKind.FAILED,
                f"The table of {address} was written by another release, and is not understood.",
                remedy="Install the same release of Mirrorfarm on all nodes.",
            ) from None
        return record.table if record is not None else None

    async def weight(self, arguments: FarmWeightArguments, caller: Caller, report: Report) -> FarmWeightResult:
        """Give a node a weight, or that of the configuration again."""
        weight = arguments.weight
        if weight is not None and not 0 <= weight <= MOST_WEIGHT:
            raise ApiError(
                ErrorKind.BAD_REQUEST, f"{weight} is no weight: 0 to {MOST_WEIGHT}, a whole number.", meaning=UNCHANGED
            )
        self._seat.config(arguments.module)
        await self._seat.refuse_old_news()
        for _ in range(ATTEMPTS):
            txn, result = self._plan_weight(arguments)
            if txn is None:
                return result
            settled = await self._seat.commit(txn)
            await self._seat.wait_seen(settled.revision)
            if settled.succeeded:
                return result
        raise changed_meanwhile(f"Module {arguments.module}")

    async def traffic(self, arguments: FarmTrafficArguments, caller: Caller, report: Report) -> FarmTrafficResult:
        """Open or close the traffic of this node."""
        seat, module = self._seat, arguments.module
        if seat.view.revision:  # Until etcd has been heard there is what a former agent has left.
            farm_of(seat, module)
        changed = seat.modules.switch_traffic(module, caller.name, is_open=arguments.is_open)
        return FarmTrafficResult(module, seat.node, arguments.is_open, changed)

    def _plan_weight(self, arguments: FarmWeightArguments) -> tuple[Txn | None, FarmWeightResult]:
        """What is to be written, and the answer once that stands; ``None``: it stands already."""
        seat, module, node = self._seat, arguments.module, arguments.node
        _, config = farm_of(seat, module)
        if node not in config.nodes:
            raise unknown_node(module, node, config.nodes)
        keys = seat.keys_of(module)
        former = self._desired(module, node)
        switches = {name: word for name, word in former.switches.items() if name != WEIGHT}
        if arguments.weight is not None:
            switches[WEIGHT] = str(arguments.weight)
        wanted = dataclasses.replace(former, switches=switches)
        before = {n: _weight(config, n, self._desired(module, n)) for n in config.nodes}
        after = before | {node: _weight(config, node, wanted)}
        result = FarmWeightResult(module, node, before[node], after[node], arguments.weight is not None)
        if not arguments.accept:
            self._refuse_nobody(module, node, before, after)
        if wanted == former:
            return None, result
        # Judged by all weights. Which nodes are up changes by itself a moment later: that is not guarded.
        guards = [seat.revision_guard(keys.config), *(seat.revision_guard(keys.desired(n)) for n in config.nodes)]
        return Txn(tuple(guards), (Put(keys.desired(node), encode(wanted)),)), result

    def _desired(self, module: str, node: str) -> DesiredRecord:
        return self._seat.desired(module, node) or DesiredRecord(Run.STOPPED)

    def _refuse_nobody(self, module: str, node: str, before: dict[str, int], after: dict[str, int]) -> None:
        """Not without a word: that what begins goes to no node.

        Raises:
            ApiError: so it would be.
        """
        if after[node] or not before[node]:
            return
        nodes = self._seat.module_view(module).nodes
        up = [n.node for n in nodes if n.takes_what_begins]
        left = [n for n in after if after[n]]
        if node in up and not any(after[n] for n in up):
            others = f"{' and '.join(left)} would have one, and takes nothing now" if left else "no other node has one"
            words = f"{node} is the only node of {module} that is UP with a weight above 0: {others}."
        elif not left:
            words = f"No node of {module} would have a weight above 0."
        else:
            return
        raise ApiError(
            ErrorKind.REFUSED,
            words,
            meaning="All that clients begin would be dropped. Nothing was changed.",
            reason=str(Reason.NOBODY_LEFT),
        )


def _weight(config: FarmConfig, node: str, desired: DesiredRecord) -> int:
    return config.weight(node) if desired.weight is None else desired.weight


def _client(arguments: FarmWhereArguments) -> str:
    """The client's address as its packets carry it."""
    try:
        client = ipaddress.ip_address(arguments.client)
    except ValueError:
        raise ApiError(ErrorKind.BAD_REQUEST, f"{arguments.client!r} is not the address of a client.") from None
    if not 0 <= arguments.port <= MOST_PORT or not 0 <= arguments.service <= MOST_PORT:
        raise ApiError(ErrorKind.BAD_REQUEST, f"A port is a whole number from 1 to {MOST_PORT}.")
    mapped = client.ipv4_mapped if isinstance(client, ipaddress.IPv6Address) else None
    return str(mapped or client).partition("%")[0]


def _address(config: FarmConfig, arguments: FarmWhereArguments, client: str) -> str:
    """To which of the module's addresses the client connects."""
    known = [a.ip for a in config.addresses]
    if arguments.address:
        asked = _canonical(arguments.address)
        if asked not in known:
            raise ApiError(
                ErrorKind.NOT_FOUND,
                f"{arguments.address} is not an address of {config.name}: it has {', '.join(known)}.",
                remedy="Name one of these with --address.",
            )
        known = [asked]
    family = ipaddress.ip_address(client).version
    reached = [a for a in known if ipaddress.ip_address(a).version == family]
    if not reached:
        raise ApiError(
            ErrorKind.BAD_REQUEST,
            f"A client with the IPv{family} address {client} cannot connect to {' or '.join(known)}.",
        )
    if len(reached) > 1:
        raise ApiError(
            ErrorKind.BAD_REQUEST,
            f"{config.name} has {len(reached)} addresses for such a client, each with its own table: "
            f"{', '.join(reached)}.",
            remedy=f"Name one of them: --address {reached[0]}",
        )
    return reached[0]


def _canonical(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _rule(config: FarmConfig, arguments: FarmWhereArguments, address: str) -> RuleConfig | None:
    """Which rule shares it; ``None``: none does."""
    rules = [r for r in config.rules if r.covers(address)]
    if arguments.protocol is not None:
        rules = [
            r for r in rules if r.protocol is arguments.protocol and r.first_port <= arguments.service <= r.last_port
        ]
    if len({r.affinity for r in rules}) > 1:
        raise ApiError(
            ErrorKind.BAD_REQUEST,
            f"The rules for {address} share by different things, so that it depends on the rule.",
            remedy="Name what the client connects to: "
            + " or ".join(f"--rule {r.protocol}/{r.first_port} (by {r.affinity})" for r in rules),
        )
    rule = rules[0] if rules else None
    if rule is not None and rule.affinity is Affinity.CONNECTION and not arguments.port:
        raise ApiError(
            ErrorKind.BAD_REQUEST,
            f"{config.name} shares by connection: which node it is depends on the client's port too.",
            remedy="Name it: CLIENT:PORT, an IPv6 address in brackets: [CLIENT]:PORT",
        )
    return rule


def _in_table(place: FarmPlace, table: SlotTable, slot: int) -> FarmPlace:
    owner, comer, leaver = table.owner(slot), table.comer(slot), table.leaver(slot)
    if not owner:
        way = Way.NOBODY
    elif comer:
        way = Way.COMING
    else:
        way = Way.LEAVING if leaver else Way.SETTLED
    return dataclasses.replace(
        place, node=owner, way=way, slot=slot, other=comer or leaver, number=table.number,
        switched=table.switched if leaver else None,
    )  # fmt: skip
