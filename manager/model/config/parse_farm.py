"""What ``module.toml`` says of a farm."""

from collections.abc import Mapping

from manager.model.config.dependencies import check_dependencies
from manager.model.config.farm_config import FarmConfig, Traffic
from manager.model.config.findings import Findings, listing
from manager.model.config.own_keys import refuse_keys_of_others
from manager.model.config.parse_addresses import parse_addresses
from manager.model.config.parse_application import check_services, parse_env, parse_limits
from manager.model.config.parse_rules import parse_rules
from manager.model.config.rules import NAME, SERVICE, Rule
from manager.model.config.tables import Table
from manager.model.farm import MOST_NODES
from manager.model.states import ModuleKind

LEAST_NODES = 2
MOST_ADDRESSES = 16
MOST_WEIGHT = 100

_TRAFFIC = Rule(listing(tuple(Traffic)), lambda text: text in tuple(Traffic))


def parse_farm(top: Table, name: str, scripts: Mapping[str, str], findings: Findings) -> FarmConfig:
    """The farm in ``top``, of which name and kind have been read; what is wrong goes to ``findings``."""
    nodes = top.required_strings("nodes", NAME)
    before = findings.count
    addresses = parse_addresses(top.required_tables("address"), ModuleKind.FARM, findings)
    # What an address that is wrong was meant to be is not known, and nothing is said of the rules for it.
    known = tuple(a.ip for a in addresses) if findings.count == before else None
    config = FarmConfig(
        name=name,
        kind=ModuleKind.FARM,
        nodes=nodes,
        addresses=addresses,
        rules=parse_rules(top.required_tables("rule"), known, findings),
        weights=_weights(top.table("weights"), nodes, findings),
        chain=_chain(top, nodes, findings),
        traffic=Traffic(top.text("traffic", Traffic.READY.value, _TRAFFIC)),
        depends=top.strings("depends", NAME),
        services=top.strings("services", SERVICE),
        limits=parse_limits(top.table("scripts")),
        env=parse_env(top.table("env"), findings),
        scripts=dict(scripts),
    )
    refuse_keys_of_others(top, ModuleKind.FARM)
    top.finish()
    if len(addresses) > MOST_ADDRESSES:
        findings.note("address", f"{len(addresses)} addresses", f"at most {MOST_ADDRESSES}")
    _check_nodes(nodes, findings)
    check_dependencies(config, findings)
    check_services(config.services, config.scripts, ModuleKind.FARM, findings)
    return config


def _weights(table: Table, nodes: tuple[str, ...], findings: Findings) -> dict[str, int]:
    weights = {}
    for node in table.names():
        if nodes and node not in nodes:
            findings.note(table.path(node), f'a weight of "{node}", which is not in nodes', _one_of(nodes))
        else:
            weights[node] = table.integer(node, 1, 0, MOST_WEIGHT)
    if nodes and all(weights.get(node, 1) == 0 for node in nodes):
        findings.note("weights", "0 for each node: nobody would serve", "a weight above 0 for one node at least")
    return weights


def _check_nodes(nodes: tuple[str, ...], findings: Findings) -> None:
    if nodes and not LEAST_NODES <= len(nodes) <= MOST_NODES:
        found = "one node" if len(nodes) == 1 else f"{len(nodes)} nodes"
        findings.note("nodes", found, f"{LEAST_NODES} to {MOST_NODES} different nodes")


def _chain(top: Table, nodes: tuple[str, ...], findings: Findings) -> tuple[tuple[str, ...], ...]:
    """Each node is in one of the groups."""
    before = findings.count
    chain = top.string_lists("chain", NAME)
    if not chain or not nodes or findings.count > before:
        return chain
    named: set[str] = set()
    for index, group in enumerate(chain):
        for node in group:
            where = f"chain[{index}]"
            if node not in nodes:
                findings.note(where, f'"{node}", which is not in nodes', _one_of(nodes))
            elif node in named:
                findings.note(where, f'"{node}" again', "each node in one group")
            named.add(node)
    missing = [node for node in nodes if node not in named]
    if missing:
        findings.note("chain", f"no group with {' and '.join(missing)}", "each node in one group; or no chain")
    return chain


def _one_of(nodes: tuple[str, ...]) -> str:
    return f"one of nodes: {listing(nodes)}"
