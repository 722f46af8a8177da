"""The agent's log: one JSON object a line, in the file that has its name now."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from agent.runtime.log import LogFile, begin
from manager.model.config import LogConfig, LogLevel, LogTarget
from manager.model.errors import ConfigError
from tests.support.syslog_daemon import SyslogDaemon


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_lines_are_json_with_level_and_time_and_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "log" / "agent.log"
    begin(LogFile(str(path)), LogConfig(), "a", console=False)
    structlog.get_logger().bind(module="db").info("state.changed", state="PRIM", lag_ms=3)
    structlog.get_logger().debug("not.shown")
    try:
        raise ValueError("no \udcff")
    except ValueError:
        structlog.get_logger().exception("agent.broken")
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert (first["event"], first["module"], first["state"], first["lag_ms"]) == ("state.changed", "db", "PRIM", 3)
    assert first["level"] == "info" and first["at"].endswith("Z")
    assert "ValueError" in second["exception"]


def test_a_terminal_gets_readable_lines_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.log"
    begin(LogFile(str(path)), LogConfig(level=LogLevel.DEBUG), "a", console=True)
    structlog.get_logger().debug("lease.renewed", lease="1f")
    assert "lease.renewed" in capfd.readouterr().err
    assert json.loads(path.read_text())["lease"] == "1f"


def test_the_syslog_has_its_lines_too(tmp_path: Path) -> None:
    daemon = SyslogDaemon(tmp_path / "syslog")
    to = (LogTarget.FILE, LogTarget.SYSLOG)
    begin(LogFile(str(tmp_path / "agent.log")), LogConfig(to=to, syslog_socket=daemon.path), "a", console=False)
    structlog.get_logger().info("lease.renewed", lease="1f")
    assert daemon.lines() == [f"<30>mirrorfarm-agent[{os.getpid()}]: lease.renewed node=a lease=1f"]
    assert json.loads((tmp_path / "agent.log").read_text())["lease"] == "1f"


def test_after_a_rotation_it_goes_on_in_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    file = LogFile(str(path))
    file.line("one")
    path.rename(tmp_path / "agent.log.1")
    file.line("two")
    file.reopen()
    file.line("three")
    assert (tmp_path / "agent.log.1").read_text() == "one\ntwo\n" and path.read_text() == "three\n"


def test_nobody_ends_for_a_line_that_is_taken_nowhere() -> None:
    """The log's disk is full, and standard error goes to the same one, as an rc.local may have it."""
    text = (
        "from agent.runtime.log import *\n"
        'begin(LogFile("/dev/full"), LogConfig(), "a", console=True)[0].error("address.left", error="?")\n'
        'print("went on")'
    )
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=full, timeout=60)
    assert ran.returncode == 0 and ran.stdout == b"went on\n"


def test_without_a_file_lines_go_to_standard_error_until_it_can_be_opened(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on a disk that has become read-only."""
    place = tmp_path / "log"
    place.write_text("in its way")
    file = LogFile(str(place / "agent.log"))
    assert "found" in file.problem
    file.line("one")
    with pytest.raises(ConfigError, match="found"):
        file.reopen()
    place.unlink()
    file.reopen()
    file.line("two")
    assert file.problem == "" and capfd.readouterr().err == "one\n"
    assert (place / "agent.log").read_text() == "two\n"
