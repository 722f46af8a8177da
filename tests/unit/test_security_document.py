"""docs/SECURITY.md says of the processes' rights what they are, and the unit takes none from applications."""

import re
from pathlib import Path

from manager.capabilities import Capability
from manager.cli.commands.snapshot import RIGHTS
from replicator.rights import needed
from tests.unit.replicator.test_rights import spec

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs" / "SECURITY.md").read_text(encoding="utf-8")
_WORDS = re.compile(r"`([A-Z_]+)`")
_OF_THE_AGENT_ALONE = {
    "Type", "NotifyAccess", "Environment", "EnvironmentFile", "ExecCondition", "ExecStart", "ExecStartPost",
    "ExecStopPost", "ExecReload", "RuntimeDirectory", "RuntimeDirectoryPreserve", "StateDirectory",
    "StateDirectoryMode", "LogsDirectory", "LogsDirectoryMode", "Restart", "RestartSec", "TimeoutStartSec",
    "TimeoutStopSec", "KillMode", "SendSIGKILL", "Delegate", "OOMScoreAdjust", "OOMPolicy", "LimitNOFILE", "TasksMax",
}  # fmt: skip
"""What an application does not get with its birth, or what takes nothing from it (systemd.exec(5))."""


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below it, without its head."""
    part = _PAGE.partition(f" {heading}\n")[2]
    lines = part[part.index("|---") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def names_of(kept: frozenset[Capability]) -> set[str]:
    return {capability.name for capability in kept}


def test_each_capability_that_a_replicator_keeps_is_there_with_its_reason() -> None:
    told = rows("What a replicator keeps")
    always = {name for row in told if "where" not in row[0] for name in _WORDS.findall(row[0])}
    at_times = {name for row in told if "where" in row[0] for name in _WORDS.findall(row[0])}
    assert always == names_of(needed(spec()))
    assert always | at_times == names_of(needed(spec(addresses=1, port=1)))
    assert all(row[1] for row in told)


def test_those_of_a_snapshots_program_are_there() -> None:
    (row,) = [row for row in rows("Who runs as what") if "snapshot" in row[0]]
    assert set(_WORDS.findall(row[2])) == names_of(RIGHTS)


def test_the_unit_takes_nothing_from_applications_which_are_the_agents_children() -> None:
    unit = (_ROOT / "etc/systemd/mirrorfarm-agent.service").read_text()
    service = unit.partition("[Service]\n")[2].partition("[Install]")[0]
    directives = set(re.findall(r"^([A-Za-z]+)=", service, re.MULTILINE))
    assert directives == _OF_THE_AGENT_ALONE
