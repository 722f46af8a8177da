"""A line in the file, in the syslog or in both: whatever the syslog does, no line is lost and nobody waits."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from manager.logs.levels import Levels
from manager.logs.pipeline import QUIET_S, SyslogTee, configure, syslog_tees
from manager.logs.syslog import Syslog
from manager.model.config import LogLevel, LogTarget
from tests.support.syslog_daemon import SyslogDaemon

MOST_LINES = 100_000


class World:
    """A process that logs: its file in memory, its syslog a real socket, its clock by hand."""

    def __init__(self, path: Path, *, keeps: bool) -> None:
        self.path = path
        self.file: list[dict[str, Any]] = []
        self.now_s = 0.0
        tee = SyslogTee(Syslog(str(path), "mirrorfarm-agent"), "a", self.write, keeps=keeps, clock=lambda: self.now_s)
        configure(Levels(LogLevel.INFO), self.write, [tee])
        self.log = structlog.get_logger().bind(module="db")

    def write(self, line: str) -> None:
        self.file.append(json.loads(line))

    def events(self) -> list[str]:
        return [line["event"] for line in self.file]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def words(daemon: SyslogDaemon) -> list[str]:
    return [line.partition("]: ")[2] for line in daemon.lines()]


def test_both_have_every_line_with_node_module_and_values(tmp_path: Path) -> None:
    world, daemon = World(tmp_path / "log", keeps=True), SyslogDaemon(tmp_path / "log")
    world.log.info("state.changed", state="PRIM")
    world.log.debug("not.logged")
    assert words(daemon) == ["state.changed node=a module=db state=PRIM"]
    (line,) = world.file
    assert (line["event"], line["module"], line["state"], line["level"]) == ("state.changed", "db", "PRIM", "info")
    assert "node" not in line and line["at"].endswith("Z")


def test_without_the_file_it_has_what_is_an_error_and_nothing_else(tmp_path: Path) -> None:
    world, daemon = World(tmp_path / "log", keeps=False), SyslogDaemon(tmp_path / "log")
    world.log.info("state.changed")
    world.log.error("disk.failed")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        world.log.exception("agent.broken")
    assert world.events() == ["disk.failed", "agent.broken"]
    assert [line.split()[0] for line in words(daemon)] == ["state.changed", "disk.failed", "agent.broken"]


@pytest.mark.parametrize("keeps", [True, False])
def test_what_an_absent_syslog_does_not_take_is_in_the_file_and_that_is_told_once(tmp_path: Path, keeps: bool) -> None:
    world = World(tmp_path / "log", keeps=keeps)
    for number in range(3):
        world.log.info("line", number=number)
    assert world.events() == ["syslog.unreached", "line", "line", "line"]
    assert world.file[0]["reason"] == f"{tmp_path / 'log'}: nothing is there" and world.file[0]["level"] == "warning"
    daemon = SyslogDaemon(tmp_path / "log")
    world.log.info("line", number=3)
    assert words(daemon) == ["line node=a module=db number=3", "lines.missing node=a lines=3"]
    assert world.events()[4:] == (["syslog.reached", "line"] if keeps else ["syslog.reached"])
    assert world.file[4]["lines_missing"] == 3


def test_a_frozen_syslog_is_nothing_that_a_process_would_notice(tmp_path: Path) -> None:
    world, daemon = World(tmp_path / "log", keeps=True), SyslogDaemon(tmp_path / "log")
    while "syslog.unreached" not in world.events() and len(world.file) < MOST_LINES:
        world.log.info("line")
    for _ in range(100):
        world.log.info("line")
    assert world.events().count("syslog.unreached") == 1
    logged = world.events().count("line")
    taken = len(words(daemon))
    world.log.info("line")
    assert world.file[-2]["event"] == "syslog.reached" and world.file[-2]["lines_missing"] == logged - taken
    assert words(daemon) == ["line node=a module=db", f"lines.missing node=a lines={logged - taken}"]


def test_of_one_that_comes_and_goes_is_not_told_each_time(tmp_path: Path) -> None:
    world = World(tmp_path / "log", keeps=True)
    for _ in range(5):
        world.log.info("line")
        daemon = SyslogDaemon(tmp_path / "log")
        world.log.info("line")
        daemon.stop()
        world.now_s += 1
    told = [event for event in world.events() if event != "line"]
    assert told == ["syslog.unreached", "syslog.reached"]
    world.now_s += QUIET_S
    daemon = SyslogDaemon(tmp_path / "log")
    world.log.info("line")
    assert world.file[-2]["event"] == "syslog.reached" and world.file[-2]["lines_missing"] == 4


def test_the_configuration_says_where(tmp_path: Path) -> None:
    lines: list[str] = []
    path = str(tmp_path / "log")
    assert syslog_tees((LogTarget.FILE,), path, "p", "a", lines.append) == []
    assert len(syslog_tees((LogTarget.SYSLOG, LogTarget.FILE), path, "p", "a", lines.append)) == 1 and lines == []
    syslog_tees((LogTarget.SYSLOG,), path, "p", "a", lines.append)
    assert json.loads(lines[0])["event"] == "log.elsewhere" and json.loads(lines[0])["syslog"] == path
