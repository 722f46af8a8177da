"""One node's part of a snapshot: what is asked for, in which order, and where it is in the file.

What is small and tells most comes first, the logs last: who runs out of time has the former.
"""

import dataclasses
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from manager.cli.seat import Seat
from manager.cli.snapshot import keys
from manager.cli.snapshot.archive import Archive
from manager.cli.snapshot.collector import Collector
from manager.cli.snapshot.files import directories_in, files_in, text_of
from manager.cli.snapshot.from_agent import FromAgent
from manager.cli.snapshot.lacking import Lacking, NotHad
from manager.cli.snapshot.logs import Logs
from manager.cli.snapshot.machine import take_machine
from manager.config_files import load_agent_config
from manager.model.api_snapshot import NODE_S
from manager.model.codec import DecodeError, decode
from manager.model.config import AgentConfig, LogTarget, PathsConfig, parse_module
from manager.model.errors import ConfigError
from manager.model.ids import is_name
from manager.model.records import ModuleConfigRecord

NODES: Final = "nodes"
CHECK_S: Final = 25.0
KEYS_S: Final = 15.0
_IN_THE_SYSLOG: Final = (
    'log.to has no "file": but for errors, and what the syslog has not taken, they are in the syslog or the journal, '
    "which a snapshot leaves alone: journalctl -t mirrorfarm-agent -t mirrorfarm-replicator, or the syslog's files"
)
_MOST_CONFIG_BYTES: Final = 64 << 10
_MOST_RUN_BYTES: Final = 4 << 20
_RUNNING: Final = "config.json"
"""By what a module runs here."""
_SCRIPTS: Final = "scripts"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a node's part shall have."""

    since_ms: int = 0
    """Of the logs only what is not older; 0: all."""
    etcd: bool = True
    """The cluster's keys, too."""
    seconds: float = NODE_S


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of it."""

    node: str
    lacking: tuple[Lacking, ...]
    others: tuple[str, ...]
    """Nodes of which there is something in it."""


def collect(seat: Seat, archive: Archive, wanted: Wanted, check: Callable[[], object]) -> Collected:
    """Puts this node's part into ``archive``; ``check``: what ``mirrorfarm check --json`` prints.

    Raises:
        OSError: the archive cannot be written.
    """
    config = _config(seat)
    node, paths = (config.node, config.paths) if config is not None else _as_far_as_it_goes(seat.config_file)
    collector = Collector(lambda name, content: archive.put(f"{NODES}/{node}/{name}", content), wanted.seconds)

    collector.text("agent.toml", lambda: text_of(seat.config_file, _MOST_CONFIG_BYTES, follow=True))
    FromAgent(seat.client, collector).take_all()
    others = set(_take_run(collector, paths.run, paths.state))
    take_machine(collector, Path("/"))
    if wanted.etcd:
        others |= set(_take_keys(collector, config, archive))
    collector.record("check.json", check, CHECK_S)
    Logs(collector, wanted.since_ms).take_all(paths.log)
    if config is not None and LogTarget.FILE not in config.log.to:
        collector.note("logs", _IN_THE_SYSLOG)
    collector.close()
    return Collected(node, tuple(collector.lacking), tuple(sorted(others - {node})))


def _config(seat: Seat) -> AgentConfig | None:
    """``None``: it is wrong, or not to be read, which is noted where its text is asked for and where it is checked."""
    try:
        return load_agent_config(seat.config_file)
    except (ConfigError, OSError):
        return None


def _as_far_as_it_goes(config_file: str) -> tuple[str, PathsConfig]:
    """This node's name and its directories by a configuration that is wrong: then a snapshot is wanted most."""
    node, paths = os.uname().nodename, PathsConfig()
    try:
        plain = tomllib.loads(text_of(config_file, _MOST_CONFIG_BYTES, follow=True))
    except (OSError, ValueError, NotHad):
        return node, paths
    if isinstance(plain.get("node"), str) and is_name(plain["node"]):
        node = plain["node"]
    told = plain.get("paths")
    if isinstance(told, dict):
        named = {key: told[key] for key in ("run", "log") if isinstance(told.get(key), str) and told[key][:1] == "/"}
        paths = dataclasses.replace(paths, **named)
    return node, paths


def _take_keys(collector: Collector, config: AgentConfig | None, archive: Archive) -> tuple[str, ...]:
    """The nodes that etcd has heard of."""
    if config is None:
        collector.note(keys.FILE, "agent.toml cannot be read: where etcd is, is not known")
        return ()
    read = collector.had(keys.FILE, lambda: keys.read_keys(config.etcd, config.cluster), KEYS_S)
    if read is None:
        return ()
    content = read.text.encode()
    if len(content) > keys.MOST_BYTES:
        collector.note(keys.FILE, f"only the first {keys.MOST_BYTES >> 20} MiB")
    archive.put(keys.FILE, content[: keys.MOST_BYTES])
    return read.nodes


def _take_run(collector: Collector, run: str, state: str) -> tuple[str, ...]:
    """What this node keeps while it runs: by what its modules run here, their scripts, notes. The nodes in that.

    The scripts are in ``state`` where nothing can be executed in ``run``.
    """
    _take_folder(collector, run, "run")
    nodes = list[str]()
    for module in collector.had("run", lambda: directories_in(run)) or []:
        own, where = f"{run}/{module}", f"run/{module}"
        _take_folder(collector, own, where)
        nodes += _nodes_in(f"{own}/{_RUNNING}")
        for folder in (f"{own}/{_SCRIPTS}", f"{state}/{_SCRIPTS}/{module}"):
            if os.path.isdir(folder):
                _take_folder(collector, folder, f"{where}/{_SCRIPTS}")
    return tuple(nodes)


def _nodes_in(path: str) -> tuple[str, ...]:
    try:
        record = decode(ModuleConfigRecord, text_of(path, _MOST_RUN_BYTES))
        return parse_module(record.toml, record.scripts).nodes
    except (OSError, DecodeError, ConfigError):
        return ()  # Its text is in the file, as far as it is to be had.


def _take_folder(collector: Collector, directory: str, where: str) -> None:
    for file in collector.had(where, lambda: files_in(directory)) or []:
        take = collector.json if file.name.endswith(".json") else collector.text
        take(f"{where}/{file.name}", lambda path=file.path: text_of(path, _MOST_RUN_BYTES))  # type: ignore[misc]
