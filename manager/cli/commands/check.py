"""``check``: this machine, its configuration, its modules and etcd. It asks them itself, and needs no agent."""

import argparse
import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from rich.table import Table
from rich.text import Text

from manager.cli.checks import machine, modules
from manager.cli.checks.etcd import Member, election, etcd
from manager.cli.checks.finding import Finding, Level, error, note, ok, unknown, warning, worst
from manager.cli.checks.leases import leases
from manager.cli.checks.local_etcd import election_timeout
from manager.cli.checks.pair_probe import pairs
from manager.cli.checks.port_probe import port_findings
from manager.cli.checks.probe import Probe
from manager.cli.checks.registered import registered
from manager.cli.checks.releases import releases
from manager.cli.checks.streams import streams
from manager.cli.checks.tls import tls
from manager.cli.commands.arguments import add_json
from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.cli.unreadable_words import unreadable_remedy, unreadable_words
from manager.config_files import load_agent_config, load_module_folder
from manager.model.api import ApiError, NodeInfo, NodeInfoArguments, StateArguments, StateResult
from manager.model.codec import DecodeError, decode
from manager.model.config import AgentConfig, AnyModule, parse_module
from manager.model.errors import ConfigError
from manager.model.keys import ClusterKeys
from manager.model.records import KnownNode, ModuleConfigRecord, NodeRecord
from manager.model.unreadable_keys import unreadable

T = TypeVar("T")

_STYLES = {Level.OK: "green", Level.NOTE: "", Level.UNKNOWN: "yellow", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def add(commands: Any) -> None:
    """Declare the command."""
    check = commands.add_parser(
        "check",
        help="what on this machine, in its configuration or in etcd would hurt, and what to do",
        description="Looks at this machine, its ports and its firewall, agent.toml, etcd, the modules of this node and "
        "their streams; and, by the agents, at what the other nodes have to have like this one. Changes nothing, and "
        "needs no agent for what is of this machine. "
        "Exit code 1 when something does not work; warnings, notes and what is not known leave it 0.",
    )
    check.add_argument("folder", metavar="DIR", nargs="*", help="module folders to be looked at too")
    add_json(check)
    check.set_defaults(run=run_check)


def run_check(args: argparse.Namespace, seat: Seat) -> int:
    """Look at everything, and show it."""
    looked = findings(args.folder, seat)
    if args.json:
        seat.print_json({"findings": looked})
    else:
        _show(looked, seat)
    return ExitCode.FAILED if worst(looked) is Level.ERROR else ExitCode.OK


def findings(folders: list[str], seat: Seat) -> list[Finding]:
    """All that there is to say of this machine, of what is configured, and of the modules in ``folders``, too."""
    return list(_everything(folders, seat))


def _show(looked: list[Finding], seat: Seat) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(overflow="fold")
    for finding in looked:
        says = Text(finding.says)
        if finding.remedy:
            says.append(f"\nWhat to do: {finding.remedy}", "dim")
        table.add_row(Text(finding.level, _STYLES[finding.level]), finding.subject, says)
    seat.out.print(table)
    counts = {level: sum(f.level is level for f in looked) for level in Level}
    seat.out.print(
        f"errors: {counts[Level.ERROR]}, warnings: {counts[Level.WARNING]}, unknown: {counts[Level.UNKNOWN]}, "
        f"notes: {counts[Level.NOTE]}"
    )


def _everything(folders: list[str], seat: Seat) -> Iterator[Finding]:
    root = Path("/")
    if os.geteuid() != 0:
        yield note("user", "Not everything can be looked at.", "Run mirrorfarm check as root.")
    yield from machine.machine(root, os.uname().release, machine.adjtimex_state())
    config: AgentConfig | None = None
    try:
        config = load_agent_config(seat.config_file)
    except (ConfigError, OSError) as problem:
        yield error("agent.toml", str(problem), "Correct it, then restart the agent: it reads it at its start.")
    if config is not None:
        yield ok("agent.toml", f"node {config.node} of cluster {config.cluster}")
        yield from tls(config, datetime.datetime.now(datetime.UTC))
    yield from _agent(seat, config)
    applied: list[AnyModule] = []
    if config is not None:
        found: list[Finding] = []
        members: list[Member] = []
        applied = _store(config, found, members)
        yield from found
        yield election(election_timeout(root), config.lease.ttl_ms)
        yield from port_findings(root, config, applied, members)
    yield from _modules(folders, applied, config, root)


def _agent(seat: Seat, config: AgentConfig | None) -> Iterator[Finding]:
    try:
        info: NodeInfo = seat.client.call(NodeInfoArguments(), timeout_s=5)
    except ApiError as problem:
        yield warning("agent", problem.message, problem.remedy)
        return
    if config is not None and (info.cluster, info.node) != (config.cluster, config.node):
        yield warning(
            "agent",
            f"It runs as node {info.node} of cluster {info.cluster}, which is not what agent.toml says.",
            "Restart the agent: it reads agent.toml at its start.",
        )
        return
    yield ok("agent", f"answers; release {info.software}")
    yield from releases(info)
    yield from leases(info)
    registered: dict[str, ApiError | None] = {}
    for other in info.nodes:
        if other.node != info.node:
            registered[other.node] = unreached = _unreached(seat, other.node)
            yield _other_agent(other.node, unreached, config)
    yield from _streams(seat)
    if config is not None:
        yield from pairs(seat.client, info.node, registered, config.network.agent_port)


def _streams(seat: Seat) -> Iterator[Finding]:
    try:
        seen: StateResult = seat.client.call(StateArguments(), timeout_s=5)
    except ApiError as problem:
        yield unknown("streams", f"Whether the mirrors have theirs is not known: {problem.message}", problem.remedy)
        return
    yield from streams(seen)


def _unreached(seat: Seat, node: str) -> ApiError | None:
    """Why this node's agent does not reach that of ``node`` by the agents' channel; ``None``: it does."""
    try:
        seat.client.call(NodeInfoArguments(), timeout_s=5, node=node)
    except ApiError as problem:
        return problem
    return None


def _other_agent(node: str, problem: ApiError | None, config: AgentConfig | None) -> Finding:
    """Of one that is registered."""
    if problem is None:
        return ok("agents", f"{node} answers")
    means = f"mirrorfarm --node {node} does not work here, and without etcd its state is unknown."
    port = f"TCP port {config.network.agent_port}" if config is not None else "network.agent_port"
    firewall = f" If it is up, a firewall may drop {port} on the way: mirrorfarm check on {node} looks at its own."
    return warning("agents", f"{problem.message} {means}", problem.remedy + firewall)


def _store(config: AgentConfig, found: list[Finding], members: list[Member]) -> list[AnyModule]:
    """What there is to say of etcd goes to ``found``, its members to ``members``; the modules in it of this node."""
    try:
        probe = Probe(config.etcd)
    except OSError as problem:
        remedy = "Correct the TLS files of [etcd] in agent.toml, or their modes."
        found.append(error("etcd", f"Its TLS files cannot be used: {problem}.", remedy))
        return []
    endpoints = probe.endpoints()
    answering = [e.endpoint for e in endpoints if e.version]
    told = probe.members(answering) if answering else None
    members.extend(told or ())
    found.extend(etcd(endpoints, told, datetime.datetime.now(datetime.UTC)))
    if not answering:
        return []
    keys = ClusterKeys(config.cluster)
    values = probe.range(answering, keys.modules_prefix)
    if values is None:
        found.append(_unreadable(config, keys.prefix, probe.refusal))
        return []
    found.extend(_registered(probe, answering, config, keys))
    return _applied(keys, values, config.node, found)


def _registered(probe: Probe, answering: list[str], config: AgentConfig, keys: ClusterKeys) -> Iterator[Finding]:
    def at(key: str, kind: type[T]) -> T | None:
        try:
            return decode(kind, (probe.range(answering, key) or {})[key])
        except (KeyError, DecodeError):
            return None

    yield from registered(
        config.network, at(keys.node(config.node), NodeRecord), at(keys.known(config.node), KnownNode)
    )


def _unreadable(config: AgentConfig, prefix: str, refusal: str) -> Finding:
    """``refusal``: etcd's words, or nothing."""
    if not refusal:
        remedy = "Look whether etcd has a majority, and at etcd.user in agent.toml."
        return error("etcd", "It answers, but its keys cannot be read.", remedy)
    from manager.pki import certificates  # brings cryptography with it

    try:
        user = certificates.common_name(Path(config.etcd.cert_file).read_bytes())
    except (OSError, certificates.NotOurs) as problem:
        user = str(problem)
    return error(
        "etcd",
        f"It answers, and does not say what is below {prefix}: {refusal}. By {config.etcd.cert_file} this node is its "
        f"user {user}.",
        f"Where etcd's administrator is: mirrorfarm etcd secure --node {config.node}. It has to be the certificate of "
        f"this node, {config.node}.",
    )


def _applied(keys: ClusterKeys, values: dict[str, bytes], node: str, found: list[Finding]) -> list[AnyModule]:
    mine = []
    texts = {key: value.decode("utf-8", "replace") for key, value in values.items()}
    for module in sorted({split[0] for key in values if (split := keys.split_module(key)) is not None}):
        for each in unreadable(keys.module(module), texts):
            found.append(error(module, f"{unreadable_words(each)}.", unreadable_remedy(module, each)))
    for key, value in values.items():
        split = keys.split_module(key)
        if split is None or split[1] != "config":
            continue
        try:
            record = decode(ModuleConfigRecord, value)
            config = parse_module(record.toml, record.scripts)
        except (DecodeError, ConfigError):
            continue  # Told of with the others.
        if node in config.nodes:
            mine.append(config)
    return mine


def _modules(folders: list[str], applied: list[AnyModule], config: AgentConfig | None, root: Path) -> Iterator[Finding]:
    named = []
    for folder in folders:
        try:
            toml, scripts = load_module_folder(folder)
            named.append(parse_module(toml, scripts))
        except (ConfigError, OSError) as problem:
            yield error(folder, str(problem), "Correct it, then: mirrorfarm module check DIR")
    names = {m.name for m in named}
    mounted = machine.mounts(root)
    for module in [*named, *(m for m in applied if m.name not in names)]:
        if config is not None and config.node not in module.nodes:
            yield note(module.name, f"It is not for this node, {config.node}.")
            continue
        yield from modules.module(module, root, mounted)
