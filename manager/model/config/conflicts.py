"""What two modules of one cluster must not share, nor a module and a node."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from manager.model.config.findings import Findings
from manager.model.config.kinds import AnyModule, directories_of
from manager.model.config.module_config import ModuleConfig
from manager.model.config.rules import is_address, is_below


def refuse_conflicts(
    module: AnyModule,
    others: Iterable[AnyModule],
    nodes: Mapping[str, Sequence[str]],
    file: str = "module.toml",
) -> None:
    """Refuse what ``module`` would share with another module of the cluster, or with a node.

    Args:
        module: the module that is to be applied.
        others: the modules that are there; its own earlier configuration among them does not count.
        nodes: those that are known, each with its own addresses.
        file: how its file is called in the error.

    Raises:
        InvalidConfig: a directory of both on one node, or an address or port of both; an address of a node.
    """
    findings = Findings(file)
    _check_nodes(module, nodes, findings)
    for other in others:
        if other.name == module.name:
            continue
        _check_against(module, other, findings)
    findings.raise_if_any()


def refuse_unknown_nodes(module: AnyModule, known: Iterable[str], file: str = "module.toml") -> None:
    """Refuse a node of ``module`` that is none of ``known``: its name is wrong, or it has never been in the cluster.

    Raises:
        InvalidConfig: there is one.
    """
    findings, names = Findings(file), sorted(known)
    for index, node in enumerate(module.nodes):
        if node not in names:
            found = f'"{node}", and no node of that name has been in the cluster'
            findings.note(
                f"nodes[{index}]", found, f"{', '.join(names)}; or another one once its agent has been started"
            )
    findings.raise_if_any()


def refuse_answered(module: AnyModule, stations: Mapping[str, str], file: str = "module.toml") -> None:
    """Refuse an address of ``module`` that somebody has.

    Args:
        module: the module that is to be applied.
        stations: address to who answers for it on the network, in words.
        file: how its file is called in the error.

    Raises:
        InvalidConfig: there is one.
    """
    found = {ip: f"for which {station} answers" for ip, station in stations.items()}
    _refuse_addresses(module, found, "an address that nobody has; or probe = false", file)


def refuse_unplaced(module: AnyModule, node: str, unplaced: Mapping[str, str], file: str = "module.toml") -> None:
    """Refuse an address of ``module`` that ``node``, one of its own, has no link for.

    Args:
        module: the module that is to be applied.
        node: where it is applied.
        unplaced: address to why there is none, in words.
        file: how its file is called in the error.

    Raises:
        InvalidConfig: there is one.
    """
    found = {ip: f"which {node} could not have: {why}" for ip, why in unplaced.items()}
    _refuse_addresses(module, found, "one of a subnet of each node; or interface names its link", file)


def _refuse_addresses(module: AnyModule, found: Mapping[str, str], allowed: str, file: str) -> None:
    """``found``: address to what is wrong with it."""
    findings = Findings(file)
    for index, address in enumerate(module.addresses):
        if address.ip in found:
            findings.note(f"address[{index}].ip", f"{address.ip}, {found[address.ip]}", allowed)
    findings.raise_if_any()


def _check_nodes(module: AnyModule, nodes: Mapping[str, Sequence[str]], findings: Findings) -> None:
    """An address that comes and goes must not be one that a node is reached at."""
    owners = {
        ipaddress.ip_address(address): node
        for node, addresses in nodes.items()
        for address in addresses
        if is_address(address)
    }
    for index, address in enumerate(module.addresses):
        owner = owners.get(ipaddress.ip_address(address.ip))
        if owner is not None:
            found = f"{address.ip}, which node {owner} has by itself"
            findings.note(f"address[{index}].ip", found, "an address that no node has")


def _check_against(module: AnyModule, other: AnyModule, findings: Findings) -> None:
    taken = {address.ip for address in other.addresses}
    for index, address in enumerate(module.addresses):
        if address.ip in taken:
            findings.note(f"address[{index}].ip", f"{address.ip}, an address of module {other.name}", "another address")
    if not set(module.nodes) & set(other.nodes):
        return
    for path in directories_of(module):
        for theirs in directories_of(other):
            if is_below(path, theirs) or is_below(theirs, path):
                found = f'"{path}", and module {other.name} has "{theirs}" on the same node'
                findings.note("directories", found, "directories that no other module replicates")
    port = _replication_port(module)
    if port and port == _replication_port(other):
        findings.note("replication.port", f"{port}, the port of module {other.name}", "another port; 0: any free one")


def _replication_port(module: AnyModule) -> int:
    """0: any free one, or none."""
    return module.replication.port if isinstance(module, ModuleConfig) else 0
