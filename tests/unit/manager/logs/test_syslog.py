"""A line in the syslog, with a real socket: what it says, and that nobody is waited for."""

import os
from pathlib import Path

import pytest

from manager.logs.syslog import LONGEST_BYTES, Syslog, text_of
from tests.support.syslog_daemon import SyslogDaemon

MOST_LINES = 100_000
"""More than any kernel's queue has."""
HEAD = f"mirrorfarm-agent[{os.getpid()}]:"


@pytest.mark.parametrize(
    ("level", "priority"),
    [("critical", 26), ("error", 27), ("warning", 28), ("info", 30), ("debug", 31)],
)
def test_a_level_is_a_severity_of_the_daemons_facility(level: str, priority: int, tmp_path: Path) -> None:
    daemon = SyslogDaemon(tmp_path / "log")
    Syslog(daemon.path, "mirrorfarm-agent").send(level, "lease.renewed node=a")
    assert daemon.lines() == [f"<{priority}>{HEAD} lease.renewed node=a"]


def test_nobody_there_is_known_at_once_and_who_comes_has_the_next_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    syslog = Syslog(str(path), "mirrorfarm-agent")
    with pytest.raises(FileNotFoundError) as absent:
        syslog.send("info", "one")
    daemon = SyslogDaemon(path)
    syslog.send("info", "two")
    assert daemon.lines() == [f"<30>{HEAD} two"]
    daemon.kill()
    with pytest.raises(ConnectionRefusedError) as dead:
        syslog.send("info", "three")
    successor = SyslogDaemon(path)
    syslog.send("info", "four")
    assert successor.lines() == [f"<30>{HEAD} four"]
    assert syslog.why(absent.value) == f"{path}: nothing is there"
    assert syslog.why(dead.value) == f"{path}: nobody listens there"


def test_one_that_reads_nothing_is_not_waited_for_and_one_in_its_place_has_the_next_line(tmp_path: Path) -> None:
    frozen = SyslogDaemon(tmp_path / "log")
    syslog = Syslog(frozen.path, "mirrorfarm-agent")
    with pytest.raises(BlockingIOError) as full:
        for number in range(MOST_LINES):
            syslog.send("info", f"line {number}")
    assert "its queue is full" in syslog.why(full.value)
    successor = SyslogDaemon(tmp_path / "log")
    syslog.send("info", "after it")
    assert successor.lines() == [f"<30>{HEAD} after it"]
    assert len(frozen.lines()) > 1
    frozen.kill()


def test_what_is_no_datagram_socket_is_no_syslog(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    syslog = Syslog(str(tmp_path / "log"), "mirrorfarm-agent")
    with pytest.raises(OSError) as told:
        syslog.send("info", "one")
    assert str(tmp_path / "log") in syslog.why(told.value)


def test_what_is_too_long_is_cut_between_two_characters(tmp_path: Path) -> None:
    daemon = SyslogDaemon(tmp_path / "log")
    Syslog(daemon.path, "mirrorfarm-agent").send("info", "ü" * LONGEST_BYTES)
    (line,) = daemon.lines()
    assert LONGEST_BYTES - 2 <= len(line.encode()) <= LONGEST_BYTES
    assert line.endswith("ü [...]")


def test_an_event_is_one_line_of_printable_text_with_node_and_module_first() -> None:
    event = {
        "event": "script.ended", "level": "info", "at": "2026", "pid": 7, "code": 3, "clean": False, "left": None,
        "said": 'no "space"\nleft\x1b[31m\u202e', "path": "/srv/\udcff", "module": "db", "node": "a",
    }  # fmt: skip
    assert text_of(event) == (
        r"script.ended node=a module=db code=3 clean=false left= "
        r'said="no \"space\"\nleft\x1b[31m\u202e" path=/srv/\udcff'
    )
    assert text_of({"event": "agent.stopping"}) == "agent.stopping"
