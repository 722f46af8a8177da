"""What a module of any kind says of its application: scripts, services, their limits and environment."""

from collections.abc import Mapping

from manager.model.config.application_config import SCRIPT_NAMES, SCRIPTS, START_AND_STOP
from manager.model.config.findings import Findings, listing
from manager.model.config.module_config import ScriptsConfig
from manager.model.config.rules import ENV_NAME, ENV_VALUE
from manager.model.config.tables import Table
from manager.model.states import ModuleKind

RESERVED_ENV = ("MODULE", "NODE", "STATE", "NEXT_STATE", "ACTION", "EPOCH", "DIRECTORIES", "FORCE", "FENCE_NODE")
"""Given to scripts by the agent."""

_DAY_MS = 24 * 60 * 60 * 1_000


def parse_limits(table: Table) -> ScriptsConfig:
    """The ``[scripts]`` table."""
    default = ScriptsConfig()
    config = ScriptsConfig(
        start_timeout_ms=table.duration_ms("start_timeout", default.start_timeout_ms, 1_000, _DAY_MS),
        stop_timeout_ms=table.duration_ms("stop_timeout", default.stop_timeout_ms, 1_000, _DAY_MS),
    )
    table.finish()
    return config


def parse_env(table: Table, findings: Findings) -> dict[str, str]:
    """The ``[env]`` table."""
    env = {}
    for name in table.names():
        where = table.path(name)
        if not ENV_NAME.holds(name):
            findings.note(where, f'the name "{name}"', ENV_NAME.allowed)
        elif name in RESERVED_ENV:
            findings.note(where, "a name that the agent sets itself", f"any but {listing(RESERVED_ENV)}")
        else:
            env[name] = table.text(name, "", ENV_VALUE)
    return env


def check_scripts(scripts: Mapping[str, str], kind: ModuleKind | None, findings: Findings) -> None:
    """Find scripts that a module of ``kind`` does not run, or that cannot be run; ``None``: its kind is not known."""
    allowed = SCRIPT_NAMES if kind is None else SCRIPTS[kind]
    for name, text in scripts.items():
        where = f"scripts/{name}"
        if name not in SCRIPT_NAMES:
            findings.note(where, "a script that this release does not run", listing(allowed))
        elif name not in allowed:
            findings.note(where, f"a script that a {kind} does not run", listing(allowed))
        elif not text.startswith("#!"):
            findings.note(where, "no interpreter in its first line", 'a first line as "#!/bin/sh"')
        elif "\0" in text:
            findings.note(where, "the character NUL", "text")


def check_services(services: tuple[str, ...], scripts: Mapping[str, str], kind: ModuleKind, findings: Findings) -> None:
    """Find scripts beside the services that take their place."""
    start_and_stop = START_AND_STOP[kind]
    both = [name for name in start_and_stop if name in scripts]
    if services and both:
        named = " and ".join(f"scripts/{name}" for name in both)
        allowed = f"either services, or {' and '.join(start_and_stop)}"
        findings.note("services", f"services, and {named} too", allowed)
