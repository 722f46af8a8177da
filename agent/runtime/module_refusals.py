"""What is refused of a module's configuration and of its removal, by what the cluster has; and in which words.

Nothing is changed here. Who writes it guards that with everything that was looked at (:mod:`.handlers_modules`).
"""

from agent.adapters.disk_identities import IdentityUnclear, common_identity
from agent.api_view import parsed_config
from agent.runtime.handling import Seat
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.config import (
    AnyModule,
    FarmConfig,
    dependents_of,
    directories_of,
    refuse_answered,
    refuse_conflicts,
    refuse_dependencies,
    refuse_unknown_nodes,
    refuse_unplaced,
)
from manager.model.errors import ConfigError
from manager.model.farm_resources import macs_in
from manager.model.records import ClusterIdentity, DiskIdentity, MemberRecord, ModuleConfigRecord
from manager.model.states import Run


def refuse_adoption(seat: Seat, module: str, former: ModuleConfigRecord | None, disk: DiskIdentity) -> None:
    """Refuse to adopt ``disk`` where what is here already may be in use with another identity.

    Raises:
        ApiError: so it is.
    """
    identity = seat.view.keys.record(ClusterIdentity, seat.view.cluster.identity)
    others = [m for m in seat.view.keys.modules() if m != module]
    if former is not None and former.module_id != disk.module_id:
        raise ApiError(
            ErrorKind.REFUSED,
            f"Module {module} is in etcd already, and this node's disks belong to another one of that name.",
            meaning=UNCHANGED,
            remedy=f"If nothing has run with it yet: mirrorfarm module remove {module}, then apply it again.",
        )
    if identity is not None and identity.cluster_id != disk.cluster_id and (others or former is not None):
        raise ApiError(
            ErrorKind.REFUSED,
            f"This node's disks belong to another cluster, and this one has {', '.join(others) or module} already.",
            meaning=UNCHANGED,
            remedy="Adopt the modules of a rebuilt etcd before any other module is applied to it.",
        )


def refuse_conflicting(seat: Seat, config: AnyModule) -> None:
    """Refuse ``config`` where it cannot be beside the cluster's other modules, or names nodes that nobody knows.

    Raises:
        ApiError: so it is.
    """
    keys = seat.view.keys
    there = _others(seat, config.name)
    others = (o for o in there.values() if o is not None)
    try:
        refuse_conflicts(config, others, {n.node: n.addresses for n in keys.nodes()})
        refuse_dependencies(config, there)
        if isinstance(config, FarmConfig):
            former = seat.understood(config.name)
            refuse_unknown_nodes(config, {*keys.known_nodes(), *(former.nodes if former is not None else ())})
    except ConfigError as error:
        raise invalid(error) from None


async def refuse_unheld(seat: Seat, farm: FarmConfig) -> None:
    """Refuse addresses that this node could not hold: each of a farm's nodes holds every one, or does not start.

    What it has had already stays: a link that is away for a moment is no reason to refuse another change.

    Raises:
        ApiError: so it is.
    """
    former = seat.understood(farm.name)
    had = {(a.ip, a.interface) for a in former.addresses} if former is not None else set()
    asked = [a for a in farm.addresses if (a.ip, a.interface) not in had]
    if seat.node not in farm.nodes or not asked:
        return
    try:
        refuse_unplaced(farm, seat.node, await seat.modules.unplaced(asked))
    except ConfigError as error:
        raise invalid(error) from None


async def refuse_taken(seat: Seat, farm: FarmConfig) -> None:
    """Refuse addresses that somebody answers for.

    Every node will have them on its loopback, and whoever has one now be out of their reach.

    Raises:
        ApiError: so it is.
    """
    former = seat.understood(farm.name)
    had = {a.ip for a in former.addresses} if former is not None else set()
    asked = [a for a in farm.addresses if a.probe and a.ip not in had]
    try:
        refuse_answered(farm, await seat.modules.stations(asked) if asked else {})
    except ConfigError as error:
        raise invalid(error) from None


def refuse_change(seat: Seat, config: AnyModule, former: ModuleConfigRecord | None) -> None:
    """Refuse what a module cannot become while others count on what it is.

    Raises:
        ApiError: so it is.
    """
    before = parsed_config(former) if former is not None else None
    if before is None:
        return
    leaving = started_on(seat, config.name, tuple(n for n in before.nodes if n not in config.nodes))
    if leaving:
        raise ApiError(
            ErrorKind.REFUSED,
            f"{config.name} is started on {', '.join(leaving)}, which would not be its node any more.",
            meaning=UNCHANGED,
            remedy=f"First: mirrorfarm stop {config.name} --node {leaving[0]}",
        )
    if before.kind is not config.kind:
        raise ApiError(
            ErrorKind.REFUSED,
            f"{config.name} is a {before.kind}, and cannot become a {config.kind}.",
            meaning=UNCHANGED,
            remedy=f"Take another name; or first: mirrorfarm module remove {config.name}",
        )
    has_run = seat.keys_of(config.name).insync in seat.view.kvs
    if has_run and directories_of(before) != directories_of(config):
        raise ApiError(
            ErrorKind.REFUSED,
            f"{config.name} has been running with other directories: {', '.join(directories_of(before))}.",
            meaning=f"{UNCHANGED} Which node has its good data is known for those directories only.",
            remedy=f"To begin anew, with the data left where it is: mirrorfarm stop {config.name}, mirrorfarm "
            f"module remove {config.name}, then apply and start it, and name the good data by mirrorfarm prim.",
        )


def refuse_while_needed(seat: Seat, module: str) -> None:
    """Refuse to remove what other modules depend on.

    Raises:
        ApiError: so it is.
    """
    needed_by = dependents_of(module, (o for o in _others(seat, module).values() if o is not None))
    if needed_by:
        raise ApiError(
            ErrorKind.REFUSED,
            f"Without {module} the application of {' and of '.join(needed_by)} would not be started any more.",
            meaning=UNCHANGED,
            remedy=f"First take {module} out of depends in the module.toml of {needed_by[0]}, and apply that; or: "
            f"mirrorfarm module remove {needed_by[0]}",
        )


def refuse_while_started(seat: Seat, module: str, nodes: tuple[str, ...], gone: tuple[str, ...]) -> None:
    """Refuse to remove what is started, or may be on a node that does not say; ``gone``: those that never come back.

    Raises:
        ApiError: so it is.
    """
    keys, kvs = seat.keys_of(module), seat.view.kvs
    registered = {n.node for n in seat.view.keys.nodes()}
    live = [n for n in nodes if keys.member(n) in kvs]
    started = [n for n in started_on(seat, module, nodes) if n not in gone or n in registered]
    if started or live or keys.primary in kvs:
        where = ", ".join(dict.fromkeys([*started, *live])) or "the node that is primary"
        raise ApiError(
            ErrorKind.REFUSED,
            f"{module} is started on {where}.",
            meaning=UNCHANGED,
            remedy=f"First: mirrorfarm stop {module}",
        )
    silent = [n for n in nodes if n not in registered and n not in gone]
    if silent:
        raise ApiError(
            ErrorKind.REFUSED,
            f"The agent of {', '.join(silent)} is not registered, so it is not known whether {module} is stopped "
            "there.",
            meaning=UNCHANGED,
            remedy=f"Start that agent; or, when the node will never come back, add --gone {silent[0]}",
        )


def started_on(seat: Seat, module: str, nodes: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``nodes`` that may be wanted to run it: what is not understood may say so, too."""
    keys = seat.keys_of(module)
    wanted = {n: seat.view.keys.desired(module, n) for n in nodes if keys.desired(n) in seat.view.kvs}
    return tuple(n for n, d in wanted.items() if d is None or d.run is Run.STARTED)


def beyond_repair(module: str) -> ApiError:
    """Without the id that it had, each disk would be that of another module."""
    return ApiError(
        ErrorKind.REFUSED,
        f"The configuration of {module} in etcd is not understood, and was not since this agent began: which module "
        "the disks belong to is not known from it.",
        meaning=UNCHANGED,
        remedy="A mirror: on a node with its data, mirrorfarm module apply DIR --adopt. What has never run, or a farm: "
        f"mirrorfarm stop {module}, mirrorfarm module remove {module}, then apply it.",
    )


def vouched_identity(config: AnyModule) -> DiskIdentity:
    """What this node's disks of the module say that they belong to. Blocks.

    Raises:
        ApiError: nothing, or different things.
    """
    if isinstance(config, FarmConfig):
        raise ApiError(
            ErrorKind.REFUSED,
            f"{config.name} is a farm: it keeps nothing on disks by which a rebuilt etcd could know it.",
            meaning=UNCHANGED,
            remedy="Leave --adopt out.",
        )
    try:
        return common_identity(config.directories)
    except IdentityUnclear as error:
        raise ApiError(
            ErrorKind.REFUSED,
            str(error),
            meaning=UNCHANGED,
            remedy="Ask on a node whose disks have the module's data; or leave --adopt out: then it is a new module.",
        ) from None


def invalid(error: ConfigError) -> ApiError:
    """The configuration is wrong by itself, or beside what is there."""
    return ApiError(ErrorKind.BAD_REQUEST, str(error), meaning=UNCHANGED)


def _others(seat: Seat, module: str) -> dict[str, AnyModule | None]:
    """The other modules, by the last configurations that were understood here; ``None``: none of it was."""
    return {name: seat.understood(name) for name in seat.view.keys.modules() if name != module}


def refuse_held(seat: Seat, config: AnyModule) -> None:
    """Refuse addresses that a farm's nodes have still, by what it was before it was changed: two would answer for one.

    Raises:
        ApiError: there is one.
    """
    former, keys = seat.understood(config.name), seat.view.keys
    wanted = {a.ip for a in config.addresses} - {a.ip for a in (former.addresses if former is not None else ())}
    for module in (m for m in keys.modules() if m != config.name):
        members = (keys.record(MemberRecord, k) for k in keys.under(f"{seat.keys_of(module).prefix}members/"))
        for member in (m for m in members if m is not None):
            held = sorted(wanted & macs_in(member.resources).keys())
            if held:
                raise ApiError(
                    ErrorKind.REFUSED,
                    f"{module} has {held[0]} still on node {member.node}, where it runs by a former configuration.",
                    meaning=UNCHANGED,
                    remedy=f"First: mirrorfarm stop {module} --node {member.node}, and start it again.",
                )
